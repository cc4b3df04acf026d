// LoggerView: what a logger's attributes are at this moment, read from its __dict__.
//
// Only for loggers of types that are plain (standard_logging.h). Everything in it is borrowed from
// the logger, and valid until any Python code is run. Needs the interpreter lock.

#pragma once

#include <array>
#include <cstdint>

#include "python/binding/log_names.h"
#include "python/binding/reference.h"

namespace log_aggregator::python {

// Whether a logger is enabled for a level, from what it has cached itself.
enum class Enabled : unsigned char { yes, no, unknown };

struct LoggerView {
  PyObject* dict = nullptr;
  std::uint64_t version = 0;  // of the dict, see dict_version.h

  bool has_own_methods = false;  // one of the methods that a log call leads through
  // As Logger.__init__ and Manager.getLogger() set them; null: not there.
  PyObject* name = nullptr;
  PyObject* disabled = nullptr;
  PyObject* cache = nullptr;
  PyObject* filters = nullptr;
  PyObject* handlers = nullptr;
  PyObject* propagate = nullptr;
  PyObject* parent = nullptr;

  // What the cache says of the five standard levels.
  std::uint64_t cache_version = 0;
  mutable std::array<Enabled, 6> standard_levels{};

  Enabled is_enabled(PyObject* level_number, long level) const;
};

class LoggerViews {
 public:
  explicit LoggerViews(const LogNames& names) : names_(names) {}

  // Valid until the next call. Null where the logger has no __dict__ of its own.
  const LoggerView* read(PyObject* logger);

 private:
  void fill(LoggerView& view, PyObject* dict) const;
  static bool has_own_methods(const LogNames& names, PyObject* dict);

  const LogNames& names_;
  std::array<LoggerView, 256> views_;  // by the dict's address
};

}  // namespace log_aggregator::python
