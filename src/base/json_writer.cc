#include "log_aggregator/json_writer.h"

#include <array>
#include <charconv>
#include <cmath>

namespace log_aggregator {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD in UTF-8

// Bytes that stand for themselves inside a JSON string: ASCII without controls, quote, backslash.
constexpr std::array<bool, 256> make_plain_table() {
  std::array<bool, 256> plain{};
  for (int c = 0x20; c < 0x80; ++c) plain[c] = c != '"' && c != '\\';
  return plain;
}
constexpr std::array<bool, 256> kPlain = make_plain_table();

bool is_continuation(unsigned char c) { return (c & 0xC0) == 0x80; }

// What stands at the beginning of a text that does not begin with ASCII.
struct Sequence {
  std::size_t length;  // bytes to step over
  bool valid;          // whether they are one character of UTF-8
};

// A surrogate written as three bytes is stepped over whole, so that it yields one U+FFFD.
Sequence decode(std::string_view text) {
  const auto byte = [&](std::size_t i) {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : static_cast<unsigned char>(0);
  };
  const unsigned char first = byte(0);
  const unsigned char second = byte(1);
  if (!is_continuation(second)) return {1, false};
  if (first >= 0xC2 && first <= 0xDF) return {2, true};
  if (first >= 0xE0 && first <= 0xEF) {
    if (first == 0xE0 && second < 0xA0) return {1, false};
    if (!is_continuation(byte(2))) return {1, false};
    const bool surrogate = first == 0xED && second >= 0xA0;
    return {3, !surrogate};
  }
  if (first >= 0xF0 && first <= 0xF4) {
    if ((first == 0xF0 && second < 0x90) || (first == 0xF4 && second >= 0x90)) return {1, false};
    if (!is_continuation(byte(2)) || !is_continuation(byte(3))) return {1, false};
    return {4, true};
  }
  return {1, false};
}

void append_ascii_escape(std::string& out, unsigned char c) {
  constexpr char kHex[] = "0123456789abcdef";
  switch (c) {
    case '"':
      out += "\\\"";
      return;
    case '\\':
      out += "\\\\";
      return;
    case '\n':
      out += "\\n";
      return;
    case '\r':
      out += "\\r";
      return;
    case '\t':
      out += "\\t";
      return;
    default: {
      const char escape[] = {'\\', 'u', '0', '0', kHex[c >> 4], kHex[c & 15]};
      out.append(escape, sizeof escape);
    }
  }
}

}  // namespace

void append_json_escaped(std::string& out, std::string_view utf8) {
  std::size_t start = 0;  // of the run that is copied as it is
  std::size_t at = 0;
  while (at < utf8.size()) {
    const auto c = static_cast<unsigned char>(utf8[at]);
    if (kPlain[c]) {
      ++at;
      continue;
    }
    if (c >= 0x80) {
      const Sequence sequence = decode(utf8.substr(at));
      if (!sequence.valid) {
        out.append(utf8, start, at - start);
        out += kReplacement;
        start = at + sequence.length;
      }
      at += sequence.length;
      continue;
    }
    out.append(utf8, start, at - start);
    append_ascii_escape(out, c);
    start = ++at;
  }
  out.append(utf8, start, at - start);
}

// A comma is due before anything that follows a finished value.
void JsonWriter::separate() {
  if (buffer_.empty()) return;
  const char last = buffer_.back();
  if (last != '{' && last != '[' && last != ':' && last != ',') buffer_ += ',';
}

void JsonWriter::begin_object() {
  separate();
  buffer_ += '{';
}

void JsonWriter::end_object() { buffer_ += '}'; }

void JsonWriter::begin_array() {
  separate();
  buffer_ += '[';
}

void JsonWriter::end_array() { buffer_ += ']'; }

void JsonWriter::key(std::string_view name) {
  string(name);
  buffer_ += ':';
}

void JsonWriter::string(std::string_view utf8) {
  separate();
  buffer_ += '"';
  append_json_escaped(buffer_, utf8);
  buffer_ += '"';
}

void JsonWriter::integer(std::int64_t value) {
  separate();
  char digits[24];
  const auto end = std::to_chars(digits, digits + sizeof digits, value).ptr;
  buffer_.append(digits, end);
}

void JsonWriter::real(double value) {
  if (!std::isfinite(value)) return null();
  separate();
  char digits[40];
  const auto end = std::to_chars(digits, digits + sizeof digits, value).ptr;
  buffer_.append(digits, end);
  // 3.0 is written as 3.0, not 3: it stays a float for whoever reads it.
  if (std::string_view(digits, end).find_first_of(".e") == std::string_view::npos) buffer_ += ".0";
}

void JsonWriter::boolean(bool value) { raw(value ? "true" : "false"); }

void JsonWriter::null() { raw("null"); }

void JsonWriter::raw(std::string_view json) {
  separate();
  buffer_ += json;
}

}  // namespace log_aggregator
