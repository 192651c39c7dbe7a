# What `cmake --install` puts where: headers in the tree that sources name them by, static libraries, and a package for find_package(everlong).
# The program, its module, completions and manual are installed by apps/everlong.

set(everlong_package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/everlong")

install(DIRECTORY "${PROJECT_SOURCE_DIR}/everlong" DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}" FILES_MATCHING PATTERN "*.h" PATTERN "*.def")

get_property(rooms GLOBAL PROPERTY EVERLONG_ROOMS)
set(exported ${rooms} everlong_all)
if(TARGET everlong_torch)
  list(APPEND exported everlong_torch)
endif()
install(TARGETS ${exported} EXPORT everlongTargets ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}")
install(EXPORT everlongTargets NAMESPACE everlong:: DESTINATION "${everlong_package_dir}")

configure_package_config_file("${CMAKE_CURRENT_LIST_DIR}/everlongConfig.cmake.in" "${PROJECT_BINARY_DIR}/everlongConfig.cmake"
  INSTALL_DESTINATION "${everlong_package_dir}")
write_basic_package_version_file("${PROJECT_BINARY_DIR}/everlongConfigVersion.cmake" COMPATIBILITY SameMinorVersion)
install(FILES "${PROJECT_BINARY_DIR}/everlongConfig.cmake" "${PROJECT_BINARY_DIR}/everlongConfigVersion.cmake" "${CMAKE_CURRENT_LIST_DIR}/Torch.cmake"
  DESTINATION "${everlong_package_dir}")
