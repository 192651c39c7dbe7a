# libtorch from the user's PyTorch, as one imported target: everlong_torch.
#
# Looked for in this order: EVERLONG_TORCH_DIR, the torch package of the active Python, .venv of this checkout.
# find_package(Torch) is not used: the CUDA wheel's configuration file demands a CUDA toolkit that running does not need.

set(EVERLONG_TORCH_DIR "" CACHE PATH "Folder of the torch package (the one with include/ and lib/)")

function(everlong_find_torch out)
  set(candidates "${EVERLONG_TORCH_DIR}")
  if(NOT EVERLONG_TORCH_DIR)
    foreach(python "python3" "${PROJECT_SOURCE_DIR}/.venv/bin/python")
      execute_process(
        COMMAND "${python}" -c "import importlib.util as u; s = u.find_spec('torch'); print(s.submodule_search_locations[0] if s else '')"
        OUTPUT_VARIABLE found OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
      list(APPEND candidates "${found}")
    endforeach()
  endif()
  foreach(candidate IN LISTS candidates)
    if(EXISTS "${candidate}/include/ATen/ATen.h" AND EXISTS "${candidate}/lib/libtorch_cpu.so")
      set(${out} "${candidate}" PARENT_SCOPE)
      return()
    endif()
  endforeach()
  message(FATAL_ERROR "No libtorch found. Looked at: ${candidates}. Run ./quickstart.sh --setup, or pass -DEVERLONG_TORCH_DIR=<site-packages>/torch.")
endfunction()

everlong_find_torch(torch_dir)
file(STRINGS "${torch_dir}/version.py" torch_version REGEX "^__version__ = ")
string(REGEX REPLACE "^__version__ = '([^'+]+).*" "\\1" torch_version "${torch_version}")
if(torch_version VERSION_LESS 2.11)
  message(FATAL_ERROR "libtorch in ${torch_dir} is ${torch_version}; expected 2.11 or newer.")
endif()
message(STATUS "libtorch ${torch_version} in ${torch_dir}")

# everlong_use_torch(<target> <folder of the torch package>): gives an INTERFACE target the headers and libraries.
# Paths stand in BUILD_INTERFACE: where everlong is installed, its configuration file calls this again with what it finds there.
function(everlong_use_torch target dir)
  # After the system's own folders: the wheel brings headers of another fmt along, and those must not hide the installed one.
  target_compile_options(${target} INTERFACE
    "$<BUILD_INTERFACE:SHELL:-idirafter ${dir}/include>" "$<BUILD_INTERFACE:SHELL:-idirafter ${dir}/include/torch/csrc/api/include>")
  target_link_libraries(${target} INTERFACE "$<BUILD_INTERFACE:${dir}/lib/libtorch_cpu.so>" "$<BUILD_INTERFACE:${dir}/lib/libc10.so>")
  # The pool whose threads libtorch uses, for everlong/tensor/parallel.cpp: the wheel's own, or the one torch was built with.
  file(GLOB openmp "${dir}/lib/libgomp*.so*" "${dir}/lib/libomp*.so*" "${dir}/lib/libiomp5*.so*")
  list(APPEND openmp gomp)
  list(GET openmp 0 openmp)
  target_link_libraries(${target} INTERFACE "$<BUILD_INTERFACE:${openmp}>")
  if(EVERLONG_CUDA)
    # Nothing here names a symbol of torch_cuda; it registers itself when it is loaded, so the linker must not drop it.
    target_link_options(${target} INTERFACE "LINKER:--no-as-needed")
    target_link_libraries(${target} INTERFACE "$<BUILD_INTERFACE:${dir}/lib/libc10_cuda.so>" "$<BUILD_INTERFACE:${dir}/lib/libtorch_cuda.so>")
  endif()
  # The CUDA build of torch_cpu names symbols of libraries that a machine without a GPU does not have.
  target_link_options(${target} INTERFACE "LINKER:--allow-shlib-undefined")
endfunction()

if(TARGET everlong::torch)  # an installed everlong
  everlong_use_torch(everlong::torch "${torch_dir}")
else()
  add_library(everlong_torch INTERFACE)
  add_library(everlong::torch ALIAS everlong_torch)
  set_target_properties(everlong_torch PROPERTIES EXPORT_NAME torch)
  everlong_use_torch(everlong_torch "${torch_dir}")
endif()
set(EVERLONG_TORCH_ROOT "${torch_dir}")
