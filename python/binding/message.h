// The message of a record, str(msg) % args as record.getMessage() makes it, written straight into
// the record: the common conversions (%s, %d, %i, %r, %%) without making the text first, any other
// by Python. Needs the interpreter lock.

#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "python/binding/reference.h"
#include "src/handler/record_writer.h"

namespace log_aggregator::python {

// A log call's msg, and what it is formatted with: positional arguments, or one mapping. All
// borrowed.
struct Message {
  PyObject* msg = nullptr;
  PyObject* const* args = nullptr;
  Py_ssize_t count = 0;
  PyObject* mapping = nullptr;  // in place of args
};

// Reads a record's msg and args. False where they have another form than logging gives them.
bool read_message(PyObject* msg, PyObject* args, Message& message);

class MessageWriter {
 public:
  // False with the Python error set that formatting raised; then nothing has been written. What the
  // arguments' own methods do is done once.
  bool write(RecordWriter& writer, const Message& message);
  // Whether that can neither fail nor run anybody's code.
  bool is_surely_quiet(const Message& message);

 private:
  // A format, taken apart and escaped. Formats are literals of the program as a rule: kept as
  // fragments.h keeps what it keeps.
  struct Format {
    struct Conversion {
      std::size_t literal_end;  // of what stands before it, in `literals`
      char kind;                // s, d or r
    };
    Ref text;
    bool is_common = false;  // else Python formats it
    std::string literals;
    std::vector<Conversion> conversions;
  };

  static constexpr std::size_t kMostConversions = 16;

  bool append(RecordWriter& writer, const Message& message);
  bool append_converted(RecordWriter& writer, PyObject* msg, const Message& message);
  static bool append_common(RecordWriter& writer, const Format& format, PyObject* const* args);
  static bool is_common(const Format& format, const Message& message);
  static bool has_simple_arguments(const Format& format, const Message& message);
  const Format& parsed(PyObject* text);
  static bool parse(std::string_view text, Format& format);

  std::array<Format, 256> formats_;
};

}  // namespace log_aggregator::python
