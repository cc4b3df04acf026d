// Random bits from the system.

#pragma once

#include <cstdint>

namespace log_aggregator {

// 64 bits that nobody can guess. Not std::random_device: that of a C++ library which was built with
// a new glibc needs that glibc, and a wheel holds the C++ library. Throws std::system_error where
// the system has none, which no supported kernel does. Any thread.
std::uint64_t entropy();

}  // namespace log_aggregator
