# Library, header, CMake package and pkg-config file. All of them can be moved with their prefix, as far as they lie in it.
install(FILES lowrank.h DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")
install(FILES "${built}/liblowrank.a" DESTINATION "${CMAKE_INSTALL_LIBDIR}")
set(pc_libs "-lm")
set(pc_libs_private)
if(target MATCHES "-linux-")
  install(FILES "${built}/liblowrank.so.0" "${built}/liblowrank.so" DESTINATION "${CMAKE_INSTALL_LIBDIR}")
  set(pc_libs)
  set(pc_libs_private "-lm")
endif()

set(package "${CMAKE_INSTALL_LIBDIR}/cmake/lowrank")
configure_package_config_file(cmake/lowrank-config.cmake.in "${CMAKE_CURRENT_BINARY_DIR}/lowrank-config.cmake"
  INSTALL_DESTINATION "${package}" PATH_VARS CMAKE_INSTALL_INCLUDEDIR CMAKE_INSTALL_LIBDIR)
# A project for another machine must not find this one. With a target of its own, the C compiler does not say which that is.
set(independent)
if(LOWRANK_TARGET)
  set(independent ARCH_INDEPENDENT)
endif()
write_basic_package_version_file("${CMAKE_CURRENT_BINARY_DIR}/lowrank-config-version.cmake" COMPATIBILITY SameMinorVersion
  ${independent})
install(FILES "${CMAKE_CURRENT_BINARY_DIR}/lowrank-config.cmake" "${CMAKE_CURRENT_BINARY_DIR}/lowrank-config-version.cmake"
  DESTINATION "${package}")

# The prefix is found from where the file lies. A folder that was given as an absolute path stays where it is, and where that is
# the one of the file, the prefix is the one that `cmake --install` gets.
set(pc_includedir "\${prefix}/${CMAKE_INSTALL_INCLUDEDIR}")
set(pc_libdir "\${prefix}/${CMAKE_INSTALL_LIBDIR}")
if(IS_ABSOLUTE "${CMAKE_INSTALL_INCLUDEDIR}")
  set(pc_includedir "${CMAKE_INSTALL_INCLUDEDIR}")
endif()
if(IS_ABSOLUTE "${CMAKE_INSTALL_LIBDIR}")
  set(pc_libdir "${CMAKE_INSTALL_LIBDIR}")
  set(pc_prefix "@pc_installed@")
else()
  file(RELATIVE_PATH up "/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/")
  set(pc_prefix "\${pcfiledir}/${up}")
  string(REGEX REPLACE "/$" "" pc_prefix "${pc_prefix}")
endif()
# pkg-config splits at spaces, but for those of its own `pcfiledir`.
foreach(path pc_includedir pc_libdir)
  string(REPLACE " " "\\ " ${path} "${${path}}")
endforeach()
configure_file(cmake/lowrank.pc.in "${CMAKE_CURRENT_BINARY_DIR}/lowrank.pc.in" @ONLY)
install(CODE [[string(REPLACE " " "\\ " pc_installed "${CMAKE_INSTALL_PREFIX}")]])
install(CODE "configure_file(\"${CMAKE_CURRENT_BINARY_DIR}/lowrank.pc.in\" \"${CMAKE_CURRENT_BINARY_DIR}/lowrank.pc\" @ONLY)")
install(FILES "${CMAKE_CURRENT_BINARY_DIR}/lowrank.pc" DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig")
