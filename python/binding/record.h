// RecordEncoder writes a logging.LogRecord as a canonical record (record_writer.h).
//
// It reads the record's own attributes, so that what factories, filters and adapters put there
// arrives: the standard ones as fields, any other as `extra`. Attributes of another type than they
// should have are written in the type that the API expects. Needs the interpreter lock; a record
// that cannot be read in part is written without that part, never lost.

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "python/binding/reference.h"
#include "python/binding/text.h"
#include "python/binding/traceback.h"
#include "src/handler/record_writer.h"

namespace log_aggregator::python {

// The attributes of a LogRecord that are read; then what is neither read nor an extra.
enum class Attribute : signed char {
  extra = -1,
  name,
  levelname,
  levelno,
  module,
  filename,
  funcName,
  threadName,
  lineno,
  process,
  thread,
  created,
  exc_info,
  exc_text,
  stack_info,
  processName,
  taskName,
  msg,
  args,
  unread,
};
inline constexpr std::size_t kReadAttributes = static_cast<std::size_t>(Attribute::unread);

// Says which attribute a name in a record's __dict__ is. One for the module: names come in the same
// order in nearly every record, so that a look at the last record's order mostly answers.
class AttributeTable {
 public:
  // False with a Python error set.
  bool load();
  Attribute find(PyObject* name, std::size_t position);
  // Whether the name, an exact str, is none of those that logging itself sets.
  bool is_extra(PyObject* name);
  // The name of an extra as it stands before its value, with its quotes and colon; empty for one
  // that is not worth keeping. Valid until the next call.
  std::string_view extra_key(PyObject* name);
  // logging.Formatter(), for tracebacks where a handler has none of its own.
  PyObject* default_formatter() const { return default_formatter_.get(); }
  TracebackFormatter& tracebacks() { return tracebacks_; }
  // record.getMessage()
  Ref message_of(PyObject* record) const {
    return Ref::steal(PyObject_CallMethodNoArgs(record, get_message_.get()));
  }

 private:
  Ref numbers_;  // dict: name -> number of the Attribute
  Ref default_formatter_;
  TracebackFormatter tracebacks_;
  Ref get_message_;
  struct Seen {
    PyObject* name = nullptr;  // kept alive by numbers_
    Attribute attribute = Attribute::extra;
  };
  struct ExtraKey {
    Ref name;
    std::string json;
  };
  ExtraKey& slot_of(PyObject* name);

  std::array<Seen, 32> seen_;         // by position
  std::array<ExtraKey, 128> extras_;  // names that are none of them, by address
};

struct ModuleState;

class RecordEncoder {
 public:
  // `level_map`: dict of numbers and upper-case names to the API's names, or null.
  RecordEncoder(ModuleState& state, PyObject* level_map, std::size_t max_record_bytes)
      : state_(state), level_map_(level_map), max_record_bytes_(max_record_bytes) {}

  // `message` is the formatted one; null: what record.getMessage() returns, or where that raises,
  // a message that names the error, which is then in `error`. `formatter` is the handler's or None.
  // Returns the severity.
  int write(RecordWriter& writer, PyObject* record, PyObject* message, PyObject* formatter,
            Interruption& interruption, std::optional<SavedError>& error) const;
  // A record whose formatting raised `error`.
  int write_unformatted(RecordWriter& writer, PyObject* record, PyObject* error,
                        Interruption& interruption) const;
  // Writes what a user's own hook made of a record.
  void write_custom(RecordWriter& writer, PyObject* dict, Interruption& interruption) const;

  // ---- parts of a record, for those who have no LogRecord

  // Begins the record with time and level.
  void begin(RecordWriter& writer, std::int64_t unix_microseconds, PyObject* level_name,
             PyObject* level_number, Interruption& interruption) const;
  // Of a tuple such as sys.exc_info() returns, or an exception.
  void write_exception(RecordWriter& writer, PyObject* exc_info, PyObject* formatter,
                       Interruption& interruption) const;
  void write_extra(RecordWriter& writer, std::span<const std::pair<Ref, Ref>> extra,
                   Interruption& interruption) const;

 private:
  struct Attributes;

  Attributes read_attributes(PyObject* record, Interruption& interruption) const;
  void write_message(RecordWriter& writer, PyObject* record, const Attributes& attributes,
                     PyObject* message, Interruption& interruption,
                     std::optional<SavedError>& error) const;
  int write_rest(RecordWriter& writer, const Attributes& attributes, PyObject* formatter,
                 Interruption& interruption) const;
  void write_names(RecordWriter& writer, const Attributes& attributes,
                   Interruption& interruption) const;

  ModuleState& state_;
  PyObject* const level_map_;
  const std::size_t max_record_bytes_;
};

// Those that say something: nearly every record is of the main process and of no task. Either may
// be null.
void write_process_and_task(RecordWriter& writer, PyObject* process_name, PyObject* task_name,
                            Interruption& interruption);

// record.levelno as a severity; 0 for what is no number.
int severity_of(PyObject* levelno, Interruption& interruption);

// What stands for the message of a record that cannot be formatted: its raw msg and args, and the
// error.
std::string unformatted_message(PyObject* record, PyObject* error, Interruption& interruption);

// Seconds since 1970 in microseconds, rounded as datetime.fromtimestamp does; the present for what
// is no time that datetime can hold.
std::int64_t microseconds_of(PyObject* created, Interruption& interruption);

}  // namespace log_aggregator::python
