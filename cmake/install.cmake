# What is installed, by component: `runtime` is the shared library, `devel` what programs are
# compiled and linked with, `command` the program log-aggregator.

include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

install(TARGETS log_aggregator_shared EXPORT LogAggregator-shared
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT runtime NAMELINK_COMPONENT devel
  INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(TARGETS log_aggregator_static EXPORT LogAggregator-static
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT devel
  INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/log_aggregator
  DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT devel)

# ---- the CMake package

set(config_dir ${CMAKE_INSTALL_LIBDIR}/cmake/LogAggregator)
foreach(kind shared static)
  install(EXPORT LogAggregator-${kind} NAMESPACE LogAggregator:: DESTINATION ${config_dir}
          COMPONENT devel)
endforeach()
configure_package_config_file(cmake/LogAggregatorConfig.cmake.in LogAggregatorConfig.cmake
  INSTALL_DESTINATION ${config_dir})
# While the version is 0.x, a minor release may change what a program sees.
if(PROJECT_VERSION_MAJOR EQUAL 0)
  set(compatibility SameMinorVersion)
else()
  set(compatibility SameMajorVersion)
endif()
write_basic_package_version_file(LogAggregatorConfigVersion.cmake COMPATIBILITY ${compatibility})
install(FILES
  ${PROJECT_BINARY_DIR}/LogAggregatorConfig.cmake
  ${PROJECT_BINARY_DIR}/LogAggregatorConfigVersion.cmake
  DESTINATION ${config_dir} COMPONENT devel)

# ---- pkg-config

# The files find their prefix by where they are, unless that was chosen for good.
set(pkgconfig_dir ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
if(IS_ABSOLUTE ${CMAKE_INSTALL_LIBDIR})
  set(pkgconfig_prefix ${CMAKE_INSTALL_PREFIX})
else()
  file(RELATIVE_PATH pkgconfig_prefix /prefix/${pkgconfig_dir} /prefix)
  string(PREPEND pkgconfig_prefix "\${pcfiledir}/")
endif()
foreach(dir LIBDIR INCLUDEDIR)
  if(IS_ABSOLUTE ${CMAKE_INSTALL_${dir}})
    set(pkgconfig_${dir} ${CMAKE_INSTALL_${dir}})
  else()
    set(pkgconfig_${dir} "\${prefix}/${CMAKE_INSTALL_${dir}}")
  endif()
endforeach()
foreach(module log_aggregator log_aggregator_spdlog_sink)
  configure_file(cmake/${module}.pc.in ${module}.pc @ONLY)
  install(FILES ${PROJECT_BINARY_DIR}/${module}.pc DESTINATION ${pkgconfig_dir} COMPONENT devel)
endforeach()

# ---- the command

if(LOG_AGGREGATOR_COMMAND)
  install(TARGETS log-aggregator RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT command)
endif()

if(PROJECT_IS_TOP_LEVEL)
  include(cmake/debian.cmake)
endif()
