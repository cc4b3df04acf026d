# Debian packages of the three components, by `cpack` in the build: liblog-aggregator0.1,
# liblog-aggregator-dev and log-aggregator. The preset `package` gives them the prefix /usr.

if(NOT CPACK_PACKAGE_CONTACT)
  # Whoever distributes the packages gives an address that answers.
  set(CPACK_PACKAGE_CONTACT
    "The log-aggregator-handler authors <authors@log-aggregator-handler.invalid>")
endif()
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "")  # each has its own
set(CPACK_STRIP_FILES ON)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_COMPONENTS_ALL runtime devel)
if(LOG_AGGREGATOR_COMMAND)
  list(APPEND CPACK_COMPONENTS_ALL command)
endif()
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_COMPRESSION_TYPE xz)

set(library_package liblog-aggregator${log_aggregator_abi})
set(CPACK_DEBIAN_RUNTIME_PACKAGE_NAME ${library_package})
set(CPACK_DEBIAN_RUNTIME_PACKAGE_SECTION libs)
set(CPACK_DEBIAN_RUNTIME_DESCRIPTION "Ships log records to a log aggregation API: shared library
Takes the log records of C++ applications without making them wait, and
delivers them over HTTP in batches, with retries and, if wanted, a spool that
survives the process.")
set(CPACK_DEBIAN_RUNTIME_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS ON)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS_POLICY ">=")
file(WRITE ${PROJECT_BINARY_DIR}/triggers "activate-noawait ldconfig\n")
set(CPACK_DEBIAN_RUNTIME_PACKAGE_CONTROL_EXTRA ${PROJECT_BINARY_DIR}/triggers)

set(CPACK_DEBIAN_DEVEL_PACKAGE_NAME liblog-aggregator-dev)
set(CPACK_DEBIAN_DEVEL_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_DEVEL_DESCRIPTION "Ships log records to a log aggregation API: development files
The headers, the static library, the sink for spdlog, and the files by which
CMake and pkg-config find them.")
# What the static library is linked with.
string(JOIN ", " CPACK_DEBIAN_DEVEL_PACKAGE_DEPENDS
  "${library_package} (= ${PROJECT_VERSION})"
  "libcurl4-openssl-dev | libcurl4-gnutls-dev | libcurl4-nss-dev"
  libzstd-dev libdeflate-dev libsimdjson-dev)
set(CPACK_DEBIAN_DEVEL_PACKAGE_SUGGESTS "libspdlog-dev, pkg-config, cmake")

set(CPACK_DEBIAN_COMMAND_PACKAGE_NAME log-aggregator)
set(CPACK_DEBIAN_COMMAND_PACKAGE_SECTION utils)
set(CPACK_DEBIAN_COMMAND_DESCRIPTION "Collects log records over HTTP, searches and sends them
The collector, with a web page to search and follow the records it stores in
SQLite, and the commands that send files to it, search it, and deliver what
crashed programs have left.")
set(CPACK_DEBIAN_COMMAND_PACKAGE_SHLIBDEPS ON)

# What Debian asks of every package.
string(TIMESTAMP date "%a, %d %b %Y %H:%M:%S +0000" UTC)
file(CONFIGURE OUTPUT changelog @ONLY CONTENT
"log-aggregator (@PROJECT_VERSION@) unstable; urgency=medium

  * Release @PROJECT_VERSION@.

 -- @CPACK_PACKAGE_CONTACT@  @date@
")
execute_process(COMMAND gzip -9nf changelog
                WORKING_DIRECTORY ${PROJECT_BINARY_DIR} COMMAND_ERROR_IS_FATAL ANY)
foreach(component IN LISTS CPACK_COMPONENTS_ALL)
  string(TOUPPER ${component} upper)
  set(doc_dir ${CMAKE_INSTALL_DATAROOTDIR}/doc/${CPACK_DEBIAN_${upper}_PACKAGE_NAME})
  install(FILES ${PROJECT_SOURCE_DIR}/LICENSE DESTINATION ${doc_dir} RENAME copyright
          COMPONENT ${component})
  install(FILES ${PROJECT_BINARY_DIR}/changelog.gz DESTINATION ${doc_dir} COMPONENT ${component})
endforeach()

include(CPack)
