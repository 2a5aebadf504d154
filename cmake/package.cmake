# What `cmake --install` carries besides the command line: the engine as one library (static, or shared
# with -DBUILD_SHARED_LIBS=ON), its headers and a CMake package, so that find_package(itemcrop) gives
# the target itemcrop::itemcrop.
include(CMakePackageConfigHelpers)
include(GNUInstallDirs)

# The areas' objects, and what they link from elsewhere.
set(objects)
foreach(library core io model_files text ops cpu_reference cpu cuda items model engine)
  list(APPEND objects $<TARGET_OBJECTS:itemcrop_${library}>)
endforeach()
set(libraries Threads::Threads PkgConfig::HWY PkgConfig::UTF8PROC ${CMAKE_DL_LIBS})
if(ITEMCROP_ONEDNN)
  list(APPEND libraries DNNL::dnnl OpenMP::OpenMP_CXX)
endif()
add_library(itemcrop ${objects})
add_library(itemcrop::itemcrop ALIAS itemcrop)
target_compile_features(itemcrop PUBLIC cxx_std_20)
target_include_directories(itemcrop PUBLIC
  $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
target_link_libraries(itemcrop PRIVATE ${libraries})
set_target_properties(itemcrop PROPERTIES LINKER_LANGUAGE CXX
  VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR})

set(package_folder ${CMAKE_INSTALL_LIBDIR}/cmake/itemcrop)
install(TARGETS itemcrop EXPORT itemcrop_targets
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
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
