// MemoryMap: reads what lies where in this process's memory, line by line (/proc/self/maps).
//
// Async-signal-safe, where dladdr(3) and dl_iterate_phdr(3) are not. It is large: keep it off small
// stacks. Not thread-safe.

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace log_aggregator {

class MemoryMap {
 public:
  struct Region {
    std::uintptr_t begin = 0;
    std::uintptr_t end = 0;
    bool readable = false;
    std::uint64_t file_offset = 0;
    std::string_view path;  // of the file, or a word in brackets; empty: none
  };

  // Begins at the first region, also where an earlier look was left without close(). False where
  // the system refuses.
  bool open();
  // The next one, valid until the call after that; false at the end.
  bool next(Region& region);
  void close();

 private:
  bool next_line(std::string_view& line);

  bool is_open_ = false;
  int descriptor_ = 0;
  std::size_t begin_ = 0;  // of what was not looked at yet
  std::size_t end_ = 0;
  std::array<char, 8192> buffer_{};
};

}  // namespace log_aggregator
