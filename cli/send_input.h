// SendInput cuts what `log-aggregator send` reads into texts: lines, or the values of a JSON
// document, which it does not judge. Its memory is bounded, however long a text is.
//
// For one thread. The descriptor stays the caller's.

#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "log_aggregator/status.h"

namespace log_aggregator::cli {

// What an input is said to be; json is an array, or objects one after the other.
enum class FormatChoice { automatic, lines, ndjson, json };

// What it is.
enum class InputFormat { lines, ndjson, array, objects };

// Its name in files that outlive the process: do not change.
std::string_view input_format_name(InputFormat format);
std::optional<InputFormat> input_format_named(std::string_view name);

// `beginning` holds the first line that is not blank, or a good part of it. Lines of a log may
// begin with a bracket, too: JSON is what goes on as JSON does.
InputFormat detect_format(std::string_view beginning, FormatChoice choice);

// A place between two texts.
struct InputPlace {
  std::uint64_t offset = 0;  // in bytes
  std::uint64_t number = 0;  // how many lines, or values, lie before it

  bool operator==(const InputPlace&) const = default;
};

struct InputText {
  enum class Kind {
    whole,
    too_long,     // `text` is its beginning, of kMaxBytes
    broken,       // the document is not closed, or something stands behind its end
    nothing_yet,  // a pipe has nothing to read just now
    end,
  };
  Kind kind = Kind::end;
  std::string_view text{};  // valid until the next call
  InputPlace behind{};      // it, or where nothing of it was handed out, the one before it
  bool closed = true;       // by a line feed, a comma, a bracket; false: the input ends with it
};

// Where a text ends, and where what closes it does.
struct TextEnd {
  std::size_t text = 0;
  std::size_t closed = 0;
};

// Finds the end of a JSON value by brackets and quotes alone: in an array at the comma or bracket
// behind it, else behind its own last bracket, or at the end of a line that is in no bracket.
class ValueScanner {
 public:
  // Goes on behind what it was given before: positions count from the beginning of `more`.
  std::optional<TextEnd> find_end(std::string_view more, bool in_array);

 private:
  std::optional<TextEnd> step(char c, std::size_t at, bool in_array);

  int depth_ = 0;
  bool in_string_ = false;
  bool escaped_ = false;
};

class SendInput {
 public:
  static constexpr std::size_t kMaxBytes = 1 << 20;  // of a text

  static constexpr std::size_t kReadBytes = 256 << 10;  // at once, if there are as many

  // From the beginning, up to where the input ends.
  SendInput(int descriptor, FormatChoice choice, std::size_t read_bytes = kReadBytes);
  // The bytes of a file from a place that an earlier input has told up to `until`.
  SendInput(int descriptor, InputFormat format, InputPlace from, std::uint64_t until,
            std::size_t read_bytes = kReadBytes);

  // The next text without blanks around it, but for lines, which keep theirs; blank lines are left
  // out. An empty one only where an array has nothing between two commas.
  Result<InputText> next();

  // What it was found to be; nothing as long as that is not known.
  std::optional<InputFormat> format() const { return format_; }

 private:
  enum class Filled { more, nothing_yet, end };

  Status begin(Filled& filled);
  bool shows_format() const;
  Result<Filled> fill();
  ssize_t read_at(std::uint64_t offset, char* into, std::size_t most) const;
  bool is_readable() const;

  std::optional<InputText> cut();
  bool skip_to_value();
  void drop_excess();
  InputText take(TextEnd end, bool closed);
  InputText take_rest();
  InputText say_broken();
  bool is_nothing(const InputText& text) const;
  std::string_view unread() const { return std::string_view(buffer_).substr(begin_); }

  const int descriptor_;
  const std::size_t read_bytes_;
  const FormatChoice choice_;
  const std::optional<std::uint64_t> until_;  // nothing: it is read to its end
  std::optional<InputFormat> format_;
  InputPlace place_;  // behind what was handed out last
  bool begun_ = false;

  // What was read and not handed out lies in the buffer from begin_ on; a text that is too long
  // without bytes of its end.
  std::string buffer_;
  std::uint64_t base_ = 0;  // where the buffer begins in the input
  std::size_t begin_ = 0;
  std::size_t scanned_ = 0;    // there is no end of the text up to here
  std::uint64_t dropped_ = 0;  // bytes of the text that were left out at scanned_
  ValueScanner value_;

  bool opened_ = false;  // the array, by its bracket
  bool closed_ = false;
  bool ended_ = false;  // broken was said
};

}  // namespace log_aggregator::cli
