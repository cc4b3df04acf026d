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
    std::uint64_t device = 0;
    std::uint64_t inode = 0;
    std::string_view path;  // of the file, or a word in brackets; empty: none

    // Where there is a path: where the file begins in memory, or would, and what lies there, in the
    // first of its regions. Nothing where that is not the file's beginning, or cannot be read.
    std::uintptr_t file_begin = 0;
    std::string_view file_head;
  };

  // Begins at the first region, also where an earlier look was left without close(). False where
  // the system refuses; a process that may open no more files is allowed one for the moment.
  bool open();
  // The next one, valid until the call after that; false at the end.
  bool next(Region& region);
  void close();

 private:
  bool next_line(std::string_view& line);
  void find_file(Region& region);

  bool is_open_ = false;
  int descriptor_ = 0;
  std::size_t begin_ = 0;  // of what was not looked at yet
  std::size_t end_ = 0;
  Region last_;  // but for its path
  std::array<char, 8192> buffer_{};
};

}  // namespace log_aggregator
