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

add_library(everlong_torch INTERFACE)
# After the system's own folders: the wheel brings headers of another fmt along, and those must not hide the installed one.
target_compile_options(everlong_torch INTERFACE
  "$<BUILD_INTERFACE:SHELL:-idirafter ${torch_dir}/include>" "$<BUILD_INTERFACE:SHELL:-idirafter ${torch_dir}/include/torch/csrc/api/include>")
target_link_libraries(everlong_torch INTERFACE "$<BUILD_INTERFACE:${torch_dir}/lib/libtorch_cpu.so>" "$<BUILD_INTERFACE:${torch_dir}/lib/libc10.so>")
if(EVERLONG_CUDA)
  # Nothing here names a symbol of torch_cuda; it registers itself when it is loaded, so the linker must not drop it.
  target_link_options(everlong_torch INTERFACE "LINKER:--no-as-needed")
  target_link_libraries(everlong_torch INTERFACE "$<BUILD_INTERFACE:${torch_dir}/lib/libc10_cuda.so>" "$<BUILD_INTERFACE:${torch_dir}/lib/libtorch_cuda.so>")
endif()
# The CUDA build of torch_cpu names symbols of libraries that a machine without a GPU does not have.
target_link_options(everlong_torch INTERFACE "LINKER:--allow-shlib-undefined")
set(EVERLONG_TORCH_ROOT "${torch_dir}")
