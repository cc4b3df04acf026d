#include "src/base/memory_map.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <utility>

namespace log_aggregator {
namespace {

// Takes a hexadecimal number and the character behind it off the front.
std::uint64_t take_hex(std::string_view& text) {
  std::uint64_t value = 0;
  const char* const end = text.data() + text.size();
  const char* const stopped = std::from_chars(text.data(), end, value, 16).ptr;
  const auto taken = static_cast<std::size_t>(stopped - text.data());
  text.remove_prefix(taken < text.size() ? taken + 1 : taken);
  return value;
}

void skip_word(std::string_view& text) {
  const std::size_t space = text.find(' ');
  text.remove_prefix(space == std::string_view::npos ? text.size() : space + 1);
}

// As in 7f12c000-7f12d000 r-xp 00001000 08:01 12345    /usr/lib/libc.so.6
MemoryMap::Region parse(std::string_view line) {
  constexpr std::string_view kGone = " (deleted)";
  MemoryMap::Region region;
  region.begin = take_hex(line);
  region.end = take_hex(line);
  region.readable = line.starts_with('r');
  skip_word(line);
  region.file_offset = take_hex(line);
  skip_word(line);  // the device
  skip_word(line);  // the inode
  const std::size_t path = line.find_first_not_of(' ');
  if (path != std::string_view::npos) region.path = line.substr(path);
  if (region.path.ends_with(kGone)) region.path.remove_suffix(kGone.size());
  return region;
}

}  // namespace

bool MemoryMap::open() {
  close();
  begin_ = end_ = 0;
  descriptor_ = ::open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
  is_open_ = descriptor_ >= 0;
  return is_open_;
}

void MemoryMap::close() {
  if (std::exchange(is_open_, false)) ::close(descriptor_);
}

bool MemoryMap::next(Region& region) {
  std::string_view line;
  if (!next_line(line)) return false;
  region = parse(line);
  return true;
}

// A line that is longer than the buffer, which a path can make it, comes in pieces; those are no
// regions that anybody looks for.
bool MemoryMap::next_line(std::string_view& line) {
  while (true) {
    const std::string_view known(buffer_.data() + begin_, end_ - begin_);
    const std::size_t length = known.find('\n');
    if (length != std::string_view::npos) {
      line = known.substr(0, length);
      begin_ += length + 1;
      return true;
    }
    if (begin_ == 0 && end_ == buffer_.size()) begin_ = end_;
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= std::exchange(begin_, 0);
    ssize_t count = 0;
    do {
      count = ::read(descriptor_, buffer_.data() + end_, buffer_.size() - end_);
    } while (count < 0 && errno == EINTR);
    if (count <= 0) return false;
    end_ += static_cast<std::size_t>(count);
  }
}

}  // namespace log_aggregator
