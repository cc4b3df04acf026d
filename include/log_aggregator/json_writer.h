// JsonWriter builds JSON text in one growing buffer that is kept for the next use.
//
// It places commas and escapes strings; that calls are balanced (a key before each value of an
// object, an end for each begin) is up to the caller. Any bytes make a valid string: what is not
// UTF-8, lone surrogates included, becomes U+FFFD. Not thread-safe: one writer for each thread.

#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "log_aggregator/export.h"
#include "log_aggregator/text_buffer.h"

namespace log_aggregator {

// A text that grows by one token with each call.
class LOG_AGGREGATOR_API JsonWriter {
 public:
  void begin_object();  // `{`, as a value
  void end_object();    // `}`
  void begin_array();   // `[`, as a value
  void end_array();     // `]`

  void key(std::string_view name);             // the name of the member whose value comes next
  void string(std::string_view utf8);          // a text, quoted and escaped
  void integer(std::int64_t value);            // a number, negative ones too
  void unsigned_integer(std::uint64_t value);  // a number up to 2^64 - 1
  // A key and its value at once, which is faster.
  void member(std::string_view name, std::string_view utf8);
  void member(std::string_view name, std::int64_t value);  // likewise
  // NaN and infinities have no JSON form: they become null.
  void real(double value);
  void real(float value);    // with the digits that tell it from other floats
  void boolean(bool value);  // `true` or `false`
  void null();               // `null`
  // Appends `json`, which must be one value in valid JSON, as it is: integers past 64 bits,
  // values encoded earlier.
  void raw(std::string_view json);
  // The same without a look at what stands before: whatever it is, with its commas.
  void verbatim(std::string_view json) { buffer_.append(json); }

  // Appends `before`, `utf8` escaped as the inside of a string, and `after`, in one go and without
  // a look at what stands before. Returns how long the escaped text is.
  std::size_t escaped_between(std::string_view before, std::string_view utf8,
                              std::string_view after);

  // A string in parts: begin, any number of appends of whole characters, end.
  void begin_string();
  // More of the string that was begun, escaped.
  void append_string(std::string_view utf8) {
    if (utf8.size() <= kShortBytes) {
      buffer_.extend_to(append_short(buffer_.room(6 * kShortBytes + 32), utf8));
    } else {
      append_long(utf8);
    }
  }
  void end_string() { buffer_.append('"'); }  // the quote behind it

  std::string_view text() const { return buffer_.view(); }  // all of it; valid until the next call
  std::size_t size() const { return buffer_.size(); }       // its length in bytes
  char* data() { return buffer_.data(); }                   // its first byte, to be overwritten
  void clear() { buffer_.clear(); }                         // begins anew in the same memory
  // Forgets everything after the first `size` bytes, so that a half-written value can be undone.
  void rollback(std::size_t size) { buffer_.truncate(size); }
  // Cuts `count` bytes at `position` out, in whose place `replacement`, which is no longer, comes.
  void replace(std::size_t position, std::size_t count, std::string_view replacement) {
    buffer_.replace(position, count, replacement);
  }

 private:
  static constexpr std::size_t kShortBytes = 256;

  template <typename Real>
  void write_real(Real value);

  void separate();
  template <typename Integer>
  void number(Integer value);
  char* begin_member(std::string_view name, std::size_t value_room);
  void append_long(std::string_view utf8);
  static char* append_short(char* out, std::string_view utf8);

  TextBuffer buffer_;
};

// Appends `utf8` to `out`, escaped as the inside of a JSON string (without the quotes).
LOG_AGGREGATOR_API void append_json_escaped(std::string& out, std::string_view utf8);

}  // namespace log_aggregator
