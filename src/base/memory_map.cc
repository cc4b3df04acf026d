#include "src/base/memory_map.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <utility>

namespace log_aggregator {
namespace {

// Takes a number and the character behind it off the front.
std::uint64_t take_number(std::string_view& text, int base) {
  std::uint64_t value = 0;
  const char* const end = text.data() + text.size();
  const char* const stopped = std::from_chars(text.data(), end, value, base).ptr;
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
  region.begin = take_number(line, 16);
  region.end = take_number(line, 16);
  region.readable = line.starts_with('r');
  skip_word(line);
  region.file_offset = take_number(line, 16);
  const std::uint64_t major = take_number(line, 16);
  region.device = major << 32 | take_number(line, 16);
  region.inode = take_number(line, 10);
  const std::size_t path = line.find_first_not_of(' ');
  if (path != std::string_view::npos) region.path = line.substr(path);
  if (region.path.ends_with(kGone)) region.path.remove_suffix(kGone.size());
  return region;
}

int open_maps() { return ::open("/proc/self/maps", O_RDONLY | O_CLOEXEC); }

// The limit that is in force a process may raise by itself, up to another one.
int open_beyond_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return -1;
  const rlimit more{.rlim_cur = limit.rlim_max, .rlim_max = limit.rlim_max};
  if (::setrlimit(RLIMIT_NOFILE, &more) != 0) return -1;
  const int opened = open_maps();
  ::setrlimit(RLIMIT_NOFILE, &limit);
  return opened;
}

}  // namespace

bool MemoryMap::open() {
  close();
  begin_ = end_ = 0;
  last_ = {};
  descriptor_ = open_maps();
  if (descriptor_ < 0 && errno == EMFILE) descriptor_ = open_beyond_limit();
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
  if (!region.path.empty()) find_file(region);
  return true;
}

// Regions of a file follow each other as they do in it, and several may be of the same place: a
// linker that does not fill up pages has code begin in the file's first one. Where they begin
// again, the file was mapped once more.
void MemoryMap::find_file(Region& region) {
  const bool goes_on = region.inode != 0 && region.inode == last_.inode &&
                       region.device == last_.device && region.file_offset >= last_.file_offset;
  if (goes_on) {
    region.file_begin = last_.file_begin;
    region.file_head = last_.file_head;
  } else {
    region.file_begin = region.begin - region.file_offset;
    // NOLINTNEXTLINE(performance-no-int-to-ptr): lines of text hold numbers
    const auto* const memory = reinterpret_cast<const char*>(region.begin);
    const bool is_head = region.readable && region.file_offset == 0;
    region.file_head = {memory, is_head ? region.end - region.begin : 0};
  }
  last_ = region;
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
