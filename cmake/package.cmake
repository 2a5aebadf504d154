# What `cmake --install` carries besides the command line: the engine as static libraries, its
# headers and a CMake package, so that find_package(itemcrop) gives the target itemcrop::itemcrop.
include(CMakePackageConfigHelpers)
include(GNUInstallDirs)

add_library(itemcrop INTERFACE)
target_link_libraries(itemcrop INTERFACE itemcrop_engine)
add_library(itemcrop::itemcrop ALIAS itemcrop)

set(packaged itemcrop itemcrop_options)
foreach(area core io text ops cpu_reference cpu cuda items model engine)
  if(TARGET itemcrop_${area})
    list(APPEND packaged itemcrop_${area})
    set_target_properties(itemcrop_${area} PROPERTIES EXPORT_NAME ${area})
  endif()
endforeach()
set_target_properties(itemcrop_options PROPERTIES EXPORT_NAME options)

set(package_folder ${CMAKE_INSTALL_LIBDIR}/cmake/itemcrop)
install(TARGETS ${packaged} EXPORT itemcrop_targets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(EXPORT itemcrop_targets NAMESPACE itemcrop:: FILE itemcropTargets.cmake
  DESTINATION ${package_folder})
configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/itemcropConfig.cmake.in
  ${PROJECT_BINARY_DIR}/itemcropConfig.cmake INSTALL_DESTINATION ${package_folder})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/itemcropConfigVersion.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/itemcropConfig.cmake
  ${PROJECT_BINARY_DIR}/itemcropConfigVersion.cmake DESTINATION ${package_folder})

install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/itemcrop DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE ${PROJECT_SOURCE_DIR}/THIRD_PARTY.md
  DESTINATION ${CMAKE_INSTALL_DOCDIR})
