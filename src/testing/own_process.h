// What this process has right now, to see that nothing is left behind.

#pragma once

#include <cstddef>
#include <filesystem>
#include <iterator>

namespace log_aggregator::testing {

inline std::size_t entries_of(const char* directory) {
  return static_cast<std::size_t>(
      std::distance(std::filesystem::directory_iterator(directory), {}));
}

inline std::size_t threads() { return entries_of("/proc/self/task"); }
// With the one that counts them.
inline std::size_t descriptors() { return entries_of("/proc/self/fd"); }

}  // namespace log_aggregator::testing
