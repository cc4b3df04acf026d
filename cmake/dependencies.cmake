# Finds the compiler and every library before anything is built; where some are missing, one error
# names the Debian packages that hold them all.

include(CheckLanguage)
check_language(CXX)
if(NOT CMAKE_CXX_COMPILER)
  unset(CMAKE_CXX_COMPILER CACHE)  # so that the next run looks again
  message(FATAL_ERROR "There is no C++ compiler. On Debian and Ubuntu install it, and the libraries "
          "that are needed, with:\n"
          "  apt-get install g++ pkg-config libcurl4-openssl-dev libzstd-dev libdeflate-dev "
          "libsimdjson-dev libsqlite3-dev libcli11-dev libboost-dev prometheus-cpp-dev python3-dev")
endif()
enable_language(CXX)

find_package(PkgConfig)
find_package(Threads REQUIRED)

set(missing_packages "")

# For what is to run where none of the libraries are, as a wheel does: all of them are linked in, those
# of this prefix first (scripts/wheel/build_libraries.sh makes it).
set(LOG_AGGREGATOR_STATIC_LIBRARIES "" CACHE STRING
    "Prefix of static libraries to link everything from; may be relative to the project")
if(LOG_AGGREGATOR_STATIC_LIBRARIES)
  file(REAL_PATH "${LOG_AGGREGATOR_STATIC_LIBRARIES}" log_aggregator_prefix
       BASE_DIRECTORY ${PROJECT_SOURCE_DIR})
  if(NOT EXISTS ${log_aggregator_prefix}/sbom.cdx.json)
    message(FATAL_ERROR "There are no static libraries in ${log_aggregator_prefix}: ./run wheel or "
            "scripts/wheel/build_libraries.sh builds them")
  endif()
  list(PREPEND CMAKE_PREFIX_PATH ${log_aggregator_prefix})
  set(CMAKE_FIND_LIBRARY_SUFFIXES .a)
  string(APPEND CMAKE_CXX_STANDARD_LIBRARIES " -ldl")
  # Not libgcc, which glibc brings along: a thread that ends is unwound by that one, which must not meet
  # another. What is not there when it is linked is not looked for when it is loaded.
  add_link_options(-static-libstdc++ LINKER:--gc-sections LINKER:-z,nodynamic-undefined-weak)
  # The same bytes wherever it is built.
  add_compile_options(-ffile-prefix-map=${PROJECT_SOURCE_DIR}=.)
endif()

# A library with a pkg-config file, as PkgConfig::LOG_AGGREGATOR_NAME: not as NAME, whose variables
# may be those of a project that this one is part of.
macro(log_aggregator_require_module name module package)
  if(PkgConfig_FOUND)
    pkg_check_modules(LOG_AGGREGATOR_${name} IMPORTED_TARGET ${module})
  endif()
  if(NOT LOG_AGGREGATOR_${name}_FOUND)
    list(APPEND missing_packages ${package})
  endif()
endmacro()

macro(log_aggregator_require_config name package)
  find_package(${name} ${ARGN} QUIET)
  if(NOT ${name}_FOUND)
    list(APPEND missing_packages ${package})
  endif()
endmacro()

if(NOT PkgConfig_FOUND)
  list(APPEND missing_packages pkg-config)
endif()
log_aggregator_require_module(CURL libcurl libcurl4-openssl-dev)
log_aggregator_require_module(ZSTD libzstd libzstd-dev)
log_aggregator_require_module(DEFLATE libdeflate libdeflate-dev)
log_aggregator_require_config(simdjson libsimdjson-dev)
if(LOG_AGGREGATOR_COMMAND)
  log_aggregator_require_module(SQLITE sqlite3 libsqlite3-dev)
  log_aggregator_require_config(CLI11 libcli11-dev)
  log_aggregator_require_config(Boost libboost-dev 1.74)
  log_aggregator_require_module(PROMETHEUS prometheus-cpp-core prometheus-cpp-dev)
endif()
if(LOG_AGGREGATOR_TESTS)
  log_aggregator_require_config(GTest libgmock-dev)
  log_aggregator_require_config(spdlog libspdlog-dev)
endif()
if(LOG_AGGREGATOR_PYTHON)
  log_aggregator_require_config(Python python3-dev COMPONENTS Interpreter Development.Module)
endif()

if(missing_packages)
  list(JOIN missing_packages " " missing_packages)
  message(FATAL_ERROR "Libraries are missing. On Debian and Ubuntu install them with:\n"
          "  apt-get install ${missing_packages}")
endif()
