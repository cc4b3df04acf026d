// TextBuffer: bytes that grow at the end, for writers of text. A std::string with its end open:
// whoever writes may ask for room first and then fill it by a pointer of its own.
//
// Keeps its memory when it is cleared. Throws std::bad_alloc where there is no more. Not
// thread-safe.

#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <memory>
#include <string_view>

namespace log_aggregator {

// The bytes, their number and the room behind them.
class TextBuffer {
 public:
  std::string_view view() const { return {data_.get(), size_}; }  // valid until the next change
  std::size_t size() const { return size_; }                      // bytes written
  bool empty() const { return size_ == 0; }                       // whether there are none
  char back() const { return data_[size_ - 1]; }                  // the last one; there must be one
  char* data() { return data_.get(); }                            // the first one, to be changed

  // The end, behind which `bytes` may be written; extend() then says how many were.
  char* room(std::size_t bytes) {
    if (capacity_ - size_ < bytes) grow(bytes);
    return data_.get() + size_;
  }
  // `bytes` more were written there.
  void extend(std::size_t bytes) { size_ += bytes; }
  // What was written there ends before `end`.
  void extend_to(const char* end) { size_ = static_cast<std::size_t>(end - data_.get()); }

  // One byte more.
  void append(char c) {
    *room(1) = c;
    ++size_;
  }
  // A copy of `text`, which must not be of this buffer.
  void append(std::string_view text) {
    if (text.empty()) return;
    std::memcpy(room(text.size()), text.data(), text.size());
    size_ += text.size();
  }

  // Forgets everything, and keeps the memory.
  void clear() { size_ = 0; }
  // Forgets everything behind the first `size` bytes.
  void truncate(std::size_t size) { size_ = size; }
  // Cuts `count` bytes at `position` out, in whose place `replacement`, which is no longer, comes.
  void replace(std::size_t position, std::size_t count, std::string_view replacement) {
    char* const at = data_.get() + position;
    std::memcpy(at, replacement.data(), replacement.size());
    std::memmove(at + replacement.size(), at + count, size_ - position - count);
    size_ -= count - replacement.size();
  }

 private:
  static constexpr std::size_t kFirstBytes = 1024;

  void grow(std::size_t bytes) {
    const std::size_t capacity = std::max({kFirstBytes, capacity_ * 2, size_ + bytes});
    std::unique_ptr<char[]> data(new char[capacity]);  // not make_unique: its zeros are not needed
    if (size_ > 0) std::memcpy(data.get(), data_.get(), size_);
    data_ = std::move(data);
    capacity_ = capacity;
  }

  std::unique_ptr<char[]> data_;
  std::size_t size_ = 0;
  std::size_t capacity_ = 0;
};

}  // namespace log_aggregator
