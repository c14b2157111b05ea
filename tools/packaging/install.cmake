# What `cmake --install` puts where. Components: runtime (the command, a shared library) and
# dev (headers, a static library, the files of find_package and pkg-config).
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

install(TARGETS nestor_cli RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT runtime)
install(TARGETS nestor EXPORT nestorTargets
        LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT runtime NAMELINK_COMPONENT dev
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT dev)
install(DIRECTORY core/include/nestor DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT dev
        FILES_MATCHING PATTERN "*.h")
install(FILES LICENSE NOTICE DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT runtime)

set(nestor_cmake_folder ${CMAKE_INSTALL_LIBDIR}/cmake/nestor)
install(EXPORT nestorTargets NAMESPACE nestor:: DESTINATION ${nestor_cmake_folder} COMPONENT dev)
configure_package_config_file(tools/packaging/nestorConfig.cmake.in
                              ${PROJECT_BINARY_DIR}/nestorConfig.cmake
                              INSTALL_DESTINATION ${nestor_cmake_folder})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/nestorConfigVersion.cmake
                                 COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/nestorConfig.cmake
              ${PROJECT_BINARY_DIR}/nestorConfigVersion.cmake
        DESTINATION ${nestor_cmake_folder} COMPONENT dev)

# A static library leaves its dependencies to the linker; a shared one has them inside.
if(NOT BUILD_SHARED_LIBS)
  set(nestor_pc_requires "rocksdb libxxhash fmt icu-i18n icu-uc libcrypto")
  set(nestor_pc_libs "-lfaiss -lsentencepiece -lstemmer -lgomp -lpthread")
endif()
# The prefix is found from where the file lies, so that an installed tree can be moved.
file(RELATIVE_PATH nestor_pc_prefix
     "${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig" "${CMAKE_INSTALL_PREFIX}")
configure_file(tools/packaging/nestor.pc.in ${PROJECT_BINARY_DIR}/nestor.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/nestor.pc
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT dev)
