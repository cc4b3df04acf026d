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

macro(require_module target module package)
  if(PkgConfig_FOUND)
    pkg_check_modules(${target} IMPORTED_TARGET ${module})
  endif()
  if(NOT ${target}_FOUND)
    list(APPEND missing_packages ${package})
  endif()
endmacro()

macro(require_config name package)
  find_package(${name} ${ARGN} QUIET)
  if(NOT ${name}_FOUND)
    list(APPEND missing_packages ${package})
  endif()
endmacro()

if(NOT PkgConfig_FOUND)
  list(APPEND missing_packages pkg-config)
endif()
require_module(CURL libcurl libcurl4-openssl-dev)
require_module(ZSTD libzstd libzstd-dev)
require_module(DEFLATE libdeflate libdeflate-dev)
require_config(simdjson libsimdjson-dev)
if(LOG_AGGREGATOR_COMMAND)
  require_module(SQLITE sqlite3 libsqlite3-dev)
  require_config(CLI11 libcli11-dev)
  require_config(Boost libboost-dev 1.74)
  require_module(PROMETHEUS prometheus-cpp-core prometheus-cpp-dev)
endif()
if(LOG_AGGREGATOR_TESTS)
  require_config(GTest libgmock-dev)
  require_config(spdlog libspdlog-dev)
endif()
if(LOG_AGGREGATOR_PYTHON)
  require_config(Python python3-dev COMPONENTS Interpreter Development.Module)
endif()

if(missing_packages)
  list(JOIN missing_packages " " missing_packages)
  message(FATAL_ERROR "Libraries are missing. On Debian and Ubuntu install them with:\n"
          "  apt-get install ${missing_packages}")
endif()
