// The text of a C++ exception: its type, demangled, what it says, and what it was nested around.
//
//   std::runtime_error: cannot start
//   caused by std::system_error: config.toml: No such file or directory

#pragma once

#include <exception>
#include <string>

namespace log_aggregator {

// Empty for a null pointer. Throws only std::bad_alloc.
std::string exception_text(const std::exception_ptr& exception);

// The name of a type as the source has it; as it is where it is no mangled name.
std::string demangle(const char* name);

}  // namespace log_aggregator
