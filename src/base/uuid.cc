#include "src/base/uuid.h"

#include <array>
#include <bit>
#include <cstdint>

#include "src/base/entropy.h"

namespace log_aggregator {
namespace {

constexpr std::string_view kHex = "0123456789abcdef";
constexpr std::size_t kTextSize = 36;

bool dash_belongs_at(std::size_t i) { return i == 8 || i == 13 || i == 18 || i == 23; }

}  // namespace

std::string make_uuid() {
  auto bytes = std::bit_cast<std::array<unsigned char, 16>>(std::array{entropy(), entropy()});
  bytes[6] = (bytes[6] & 0x0F) | 0x40;
  bytes[8] = (bytes[8] & 0x3F) | 0x80;

  std::string text;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    text += kHex[bytes[i] >> 4];
    text += kHex[bytes[i] & 0x0F];
  }
  return text;
}

std::optional<UuidBytes> parse_uuid(std::string_view text) {
  if (text.size() != kTextSize) return std::nullopt;
  UuidBytes bytes{};
  std::size_t digits = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (dash_belongs_at(i)) {
      if (text[i] != '-') return std::nullopt;
      continue;
    }
    const std::size_t value = kHex.find(text[i]);
    if (value == std::string_view::npos) return std::nullopt;
    auto& byte = bytes[digits++ / 2];
    byte = static_cast<char>(static_cast<unsigned char>(byte) << 4 | value);
  }
  return bytes;
}

}  // namespace log_aggregator
