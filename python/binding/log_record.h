// RecordBuilder makes logging.LogRecord objects as LogRecord.__init__ does, without calling it.
// Only while StandardLogging::makes_standard_records(). Needs the interpreter lock.

#pragma once

#include <array>
#include <cstdint>

#include "python/binding/call_site.h"
#include "python/binding/identity.h"
#include "python/binding/reference.h"
#include "python/binding/standard_logging.h"

namespace log_aggregator::python {

// What LogRecord.__init__ is given, and what it finds out itself. All borrowed.
struct RecordParts {
  PyObject* name = nullptr;
  PyObject* level = nullptr;
  const CallSite* site = nullptr;
  PyObject* msg = nullptr;
  PyObject* args = nullptr;  // a tuple
  PyObject* exc_info = nullptr;
  PyObject* stack_info = nullptr;
  std::int64_t time_ns = 0;  // since 1970
  const Identity* identity = nullptr;
};

class RecordBuilder {
 public:
  // False with a Python error set.
  bool load(const StandardLogging& logging);
  // Null with a Python error set.
  Ref build(const RecordParts& parts) const;
  // What the record of a log call with these arguments has as args: the mapping itself where they
  // are one non-empty mapping. Null with a Python error set.
  Ref record_args(PyObject* args) const;
  // 1 or 0; -1 with a Python error set.
  int is_filled_mapping(PyObject* object) const;

 private:
  enum Name : unsigned char;
  bool set_times(PyObject* dict, std::int64_t time_ns) const;
  bool set_identity(PyObject* dict, const Identity& identity) const;
  Ref level_name(PyObject* level) const;
  bool set(PyObject* dict, Name name, PyObject* value) const;
  bool set(PyObject* dict, Name name, const Ref& value) const;

  static constexpr int kMostNames = 24;
  std::array<Ref, kMostNames> names_;
  Ref template_;  // a __dict__ with all of a record's keys, in their order
  Ref type_, level_names_, get_level_name_, mapping_, main_process_;
  // logging._startTime: before 3.13, and since.
  [[maybe_unused]] double start_seconds_ = 0;
  [[maybe_unused]] std::int64_t start_ns_ = 0;
};

}  // namespace log_aggregator::python
