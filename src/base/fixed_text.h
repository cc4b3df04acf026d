// FixedText: text in memory of a fixed size, for places that may not allocate.
//
// Everything here is async-signal-safe. What does not fit is left out whole, and overflowed() says
// so. Not thread-safe.

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "src/base/json_escape.h"

namespace log_aggregator {

class FixedText {
 public:
  FixedText(char* memory, std::size_t capacity) : memory_(memory), capacity_(capacity) {}

  std::string_view view() const { return {memory_, size_}; }
  std::size_t left() const { return capacity_ - size_; }
  bool overflowed() const { return overflowed_; }

  void append(std::string_view text) {
    if (text.size() > left()) {
      overflowed_ = true;
      return;
    }
    if (text.empty()) return;
    std::memcpy(memory_ + size_, text.data(), text.size());
    size_ += text.size();
  }

  void number(std::uint64_t value) { digits(value, 10); }
  void number(std::int64_t value) {
    if (value < 0) append("-");
    digits(value < 0 ? 0 - static_cast<std::uint64_t>(value) : static_cast<std::uint64_t>(value),
           10);
  }
  // "0x1f"
  void hex(std::uint64_t value) {
    append("0x");
    digits(value, 16);
  }

  // "5f0c", two digits a byte
  void hex_bytes(std::string_view bytes) {
    for (const char byte : bytes) {
      const auto value = static_cast<unsigned char>(byte);
      append(kHex.substr(value >> 4, 1));
      append(kHex.substr(value & 15, 1));
    }
  }

  // As the inside of a JSON string; of a longer text what fits. Characters are not split.
  void escaped(std::string_view utf8, std::size_t most_bytes = SIZE_MAX) {
    while (!utf8.empty() && most_bytes > 0) {
      std::array<char, escaped_room(kPiece)> piece;  // NOLINT(*-member-init): written below
      const std::string_view next = utf8.substr(0, whole_characters(utf8, kPiece));
      const char* const end = write_json_escaped(piece.data(), next);
      const std::string_view text(piece.data(), static_cast<std::size_t>(end - piece.data()));
      if (text.size() > left() || text.size() > most_bytes) return;
      append(text);
      most_bytes -= text.size();
      utf8.remove_prefix(next.size());
    }
  }

 private:
  static constexpr std::string_view kHex = "0123456789abcdef";
  static constexpr std::size_t kPiece = 32;
  static constexpr std::size_t kMostDigits = 20;  // of 64 bits, in base 10

  // How many of the first `most` bytes do not split a character, at least one.
  static std::size_t whole_characters(std::string_view utf8, std::size_t most) {
    if (utf8.size() <= most) return utf8.size();
    std::size_t size = most;
    while (size > most - 3 && (static_cast<unsigned char>(utf8[size]) & 0xC0) == 0x80) --size;
    return size;
  }

  void digits(std::uint64_t value, unsigned base) {
    std::array<char, kMostDigits> text{};
    std::size_t at = text.size();
    do {
      text[--at] = kHex[value % base];
      value /= base;
    } while (value > 0);
    append({text.data() + at, text.size() - at});
  }

  char* memory_;
  std::size_t capacity_;
  std::size_t size_ = 0;
  bool overflowed_ = false;
};

}  // namespace log_aggregator
