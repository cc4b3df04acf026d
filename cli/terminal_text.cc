#include "cli/terminal_text.h"

#include <cstdint>
#include <cstdio>

namespace log_aggregator::cli {

namespace {

struct Character {
  std::uint32_t code = 0;
  std::size_t bytes = 1;
};

// What is not UTF-8 comes out as one byte each, as U+FFFD.
Character decode(std::string_view text) {
  const auto byte = [&](std::size_t i) {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U;
  };
  const std::uint32_t lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  const std::size_t bytes = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4) return {0xfffd, 1};
  std::uint32_t code = lead & (0x7fU >> bytes);
  for (std::size_t i = 1; i < bytes; ++i) {
    if ((byte(i) & 0xc0U) != 0x80) return {0xfffd, 1};
    code = code << 6 | (byte(i) & 0x3fU);
  }
  return {code, bytes};
}

bool is_control(std::uint32_t code) { return code < 0x20 || (code >= 0x7f && code < 0xa0); }

// Line and paragraph separators, and the marks that turn the direction of writing.
bool is_layout(std::uint32_t code) {
  return code == 0x61c || (code >= 0x200e && code <= 0x200f) ||
         (code >= 0x2028 && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069);
}

std::string escape(std::uint32_t code, bool json) {
  if (json && code < 0x20) return " ";  // blanks between values: there are none within strings
  if (!json && code == '\n') return "\\n";
  if (!json && code == '\r') return "\\r";
  if (!json && code == '\t') return "\\t";
  char text[16];
  std::snprintf(text, sizeof text, !json && code < 0x100 ? "\\x%02x" : "\\u%04x",
                static_cast<unsigned>(code));
  return text;
}

std::string rewrite(std::string_view text, bool json) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const Character character = decode(text);
    if (is_control(character.code) || is_layout(character.code)) {
      out += escape(character.code, json);
    } else if (character.code == 0xfffd) {
      out += "\xef\xbf\xbd";
    } else {
      out += text.substr(0, character.bytes);
    }
    text.remove_prefix(character.bytes);
  }
  return out;
}

}  // namespace

std::string neutralised(std::string_view utf8) { return rewrite(utf8, false); }

std::string neutralised_json(std::string_view json) { return rewrite(json, true); }

}  // namespace log_aggregator::cli
