#include "log_aggregator/json_writer.h"

#include <charconv>
#include <cmath>
#include <cstring>

#include "src/base/json_escape.h"

namespace log_aggregator {
namespace {

// A text is escaped in pieces of about this length: room for the worst case is asked for each.
constexpr std::size_t kPieceBytes = 4096;

// How much of the text to take at once without cutting a character in two.
std::size_t piece_length(std::string_view text) {
  if (text.size() <= kPieceBytes) return text.size();
  std::size_t length = kPieceBytes;
  constexpr std::size_t kLongestTail = 3;
  for (std::size_t back = 0; back < kLongestTail; ++back) {
    if ((static_cast<unsigned char>(text[length]) & 0xC0) != 0x80) break;
    --length;
  }
  return length;
}

constexpr std::size_t kMostDigits = 24;  // of a number of 64 bits

void escape_into(TextBuffer& out, std::string_view utf8) {
  while (!utf8.empty()) {
    const std::size_t length = piece_length(utf8);
    out.extend_to(write_json_escaped(out.room(escaped_room(length)), utf8.substr(0, length)));
    utf8.remove_prefix(length);
  }
}

}  // namespace

void append_json_escaped(std::string& out, std::string_view utf8) {
  TextBuffer escaped;
  escape_into(escaped, utf8);
  out += escaped.view();
}

// A comma is due before anything that follows a finished value.
void JsonWriter::separate() {
  if (buffer_.empty()) return;
  const char last = buffer_.back();
  if (last != '{' && last != '[' && last != ':' && last != ',') buffer_.append(',');
}

void JsonWriter::begin_object() {
  separate();
  buffer_.append('{');
}

void JsonWriter::end_object() { buffer_.append('}'); }

void JsonWriter::begin_array() {
  separate();
  buffer_.append('[');
}

void JsonWriter::end_array() { buffer_.append(']'); }

void JsonWriter::key(std::string_view name) {
  string(name);
  buffer_.append(':');
}

// Writes what stands before a member's value, and returns where that belongs; that many bytes may
// be written there.
char* JsonWriter::begin_member(std::string_view name, std::size_t value_room) {
  constexpr std::size_t kMarks = 4;  // ,"":
  char* out = buffer_.room(escaped_room(name.size()) + kMarks + value_room);
  const char last = buffer_.empty() ? '{' : buffer_.back();
  *out = ',';
  if (last != '{' && last != ',') ++out;
  *out++ = '"';
  out = write_json_escaped(out, name);
  *out++ = '"';
  *out++ = ':';
  return out;
}

void JsonWriter::member(std::string_view name, std::string_view utf8) {
  if (name.size() > kShortBytes || utf8.size() > kShortBytes) {
    key(name);
    string(utf8);
    return;
  }
  char* out = begin_member(name, escaped_room(utf8.size()) + 2);
  *out++ = '"';
  out = write_json_escaped(out, utf8);
  *out++ = '"';
  buffer_.extend_to(out);
}

void JsonWriter::member(std::string_view name, std::int64_t value) {
  if (name.size() > kShortBytes) {
    key(name);
    integer(value);
    return;
  }
  char* const out = begin_member(name, kMostDigits);
  buffer_.extend_to(std::to_chars(out, out + kMostDigits, value).ptr);
}

std::size_t JsonWriter::escaped_between(std::string_view before, std::string_view utf8,
                                        std::string_view after) {
  if (utf8.size() > kShortBytes) {
    verbatim(before);
    const std::size_t begin = size();
    append_long(utf8);
    const std::size_t end = size();
    verbatim(after);
    return end - begin;
  }
  char* out = buffer_.room(before.size() + escaped_room(utf8.size()) + after.size());
  std::memcpy(out, before.data(), before.size());
  out += before.size();
  char* const end = write_json_escaped(out, utf8);
  std::memcpy(end, after.data(), after.size());
  buffer_.extend_to(end + after.size());
  return static_cast<std::size_t>(end - out);
}

void JsonWriter::string(std::string_view utf8) {
  begin_string();
  append_string(utf8);
  end_string();
}

void JsonWriter::begin_string() {
  separate();
  buffer_.append('"');
}

void JsonWriter::append_long(std::string_view utf8) { escape_into(buffer_, utf8); }

char* JsonWriter::append_short(char* out, std::string_view utf8) {
  static_assert(6 * kShortBytes + 32 == escaped_room(kShortBytes));
  return write_json_escaped(out, utf8);
}

void JsonWriter::integer(std::int64_t value) { number(value); }
void JsonWriter::unsigned_integer(std::uint64_t value) { number(value); }

template <typename Integer>
void JsonWriter::number(Integer value) {
  separate();
  char* const digits = buffer_.room(kMostDigits);
  buffer_.extend_to(std::to_chars(digits, digits + kMostDigits, value).ptr);
}

void JsonWriter::real(double value) { write_real(value); }
void JsonWriter::real(float value) { write_real(value); }

template <typename Real>
void JsonWriter::write_real(Real value) {
  if (!std::isfinite(value)) return null();
  separate();
  char digits[40];
  const auto end = std::to_chars(digits, digits + sizeof digits, value).ptr;
  buffer_.append(std::string_view(digits, end));
  // 3.0 is written as 3.0, not 3: it stays a float for whoever reads it.
  if (std::string_view(digits, end).find_first_of(".e") == std::string_view::npos)
    buffer_.append(".0");
}

void JsonWriter::boolean(bool value) { raw(value ? "true" : "false"); }

void JsonWriter::null() { raw("null"); }

void JsonWriter::raw(std::string_view json) {
  separate();
  buffer_.append(json);
}

}  // namespace log_aggregator
