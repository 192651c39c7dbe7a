# nvcc and the architectures it knows of those that everlong is written for; included where EVERLONG_CUDA is on.

if(NOT CMAKE_CUDA_COMPILER AND NOT DEFINED ENV{CUDACXX} AND EXISTS /usr/local/cuda/bin/nvcc)
  set(CMAKE_CUDA_COMPILER /usr/local/cuda/bin/nvcc)
endif()
set(everlong_cuda_architectures "${CMAKE_CUDA_ARCHITECTURES}")
enable_language(CUDA)
if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)  # CMake 3.25 does not know it of nvcc 13
  set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION "-std=c++20")
  set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION "-std=c++20")
endif()
set(CMAKE_CUDA_STANDARD 20)
set(CMAKE_CUDA_STANDARD_REQUIRED ON)

if(everlong_cuda_architectures)
  set(CMAKE_CUDA_ARCHITECTURES "${everlong_cuda_architectures}")
else()
  execute_process(COMMAND "${CMAKE_CUDA_COMPILER}" --list-gpu-arch OUTPUT_VARIABLE known)
  set(architectures)
  foreach(arch 80 90 100)
    if(known MATCHES "compute_${arch}[^0-9]")
      list(APPEND architectures ${arch})
    endif()
  endforeach()
  set(CMAKE_CUDA_ARCHITECTURES "${architectures}")
endif()
message(STATUS "CUDA kernels for sm_${CMAKE_CUDA_ARCHITECTURES} by ${CMAKE_CUDA_COMPILER}")

# everlong_cuda_sources(<room> <folder below everlong/>): adds the folder's .cu files to the room.
function(everlong_cuda_sources room path)
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/everlong/${path}/*.cu")
  target_sources(everlong_${room} PRIVATE ${sources})
endfunction()
