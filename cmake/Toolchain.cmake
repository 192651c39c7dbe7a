# Compiler launcher, linker, warnings and sanitizers, for every target of this build.

find_program(EVERLONG_CCACHE ccache)
if(EVERLONG_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  # A precompiled header is reused from the cache only with these two relaxations.
  set(CMAKE_CXX_COMPILER_LAUNCHER "${CMAKE_COMMAND}" -E env "CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime" "${EVERLONG_CCACHE}")
endif()

find_program(EVERLONG_MOLD mold)
if(EVERLONG_MOLD)
  # mold 1.10 lets the part that becomes read-only after loading begin with thread-local zeros, which are no part of the file: where they fall
  # right before a page, one program in some hundred does not load ("cannot apply additional memory protection").
  add_link_options(-fuse-ld=mold -Wl,-z,norelro)
endif()

# For C++ alone: nvcc knows other options.
macro(everlong_cxx_options)
  foreach(option ${ARGN})
    add_compile_options("$<$<COMPILE_LANGUAGE:CXX>:SHELL:${option}>")
  endforeach()
endmacro()

everlong_cxx_options(-Wall -Wextra -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual -Wno-missing-field-initializers)
if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  everlong_cxx_options("-Xclang -fno-pch-timestamp" -Wshadow-field-in-constructor)  # the latter is what g++ means by -Wshadow
else()
  everlong_cxx_options(-fpch-preprocess)
endif()
if(EVERLONG_WERROR)
  everlong_cxx_options(-Werror)
endif()

if(EVERLONG_SANITIZE)
  everlong_cxx_options("-fsanitize=${EVERLONG_SANITIZE}" -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options("-fsanitize=${EVERLONG_SANITIZE}")
endif()
