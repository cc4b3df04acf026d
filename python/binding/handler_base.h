// The type _core.HandlerBase: what of LogAggregatorHandler a log call touches.
//
// It holds the attributes that logging.Handler gives an instance (level, filters, formatter, lock)
// where C++ reads them without a look-up, and handle(). A record takes the short way through it
// where nobody could tell the difference; where a subclass or the instance has a method of its own,
// or the handler a filter, a formatter or a lock, handle() leaves it to the Python method
// _handle_customised(). Needs the interpreter lock.

#pragma once

#include "python/binding/core.h"
#include "python/binding/reference.h"

namespace log_aggregator::python {

struct ModuleState;

// By which way records reached the handler.
struct PathCounts {
  unsigned long long fast = 0;          // no LogRecord was made
  unsigned long long record_built = 0;  // its LogRecord was made by us
  unsigned long long fallback = 0;      // its LogRecord was made by logging, or by somebody else
};

struct HandlerObject {
  PyObject ob_base;
  PyObject* core;  // a _core.Core, null until it is set
  PyObject* level;
  PyObject* filters;
  PyObject* formatter;
  PyObject* lock;
  PathCounts paths;
  // Whether no instance attribute stands for a method; found out again when one has been set.
  bool is_examined;
  bool is_customised;
};

// The type as a new object, null with a Python error set. `module` keeps a ModuleState*.
PyObject* create_handler_type(PyObject* module);

// What a type is to us.
struct HandlerTraits {
  bool is_ours = false;          // derived from HandlerBase
  bool has_own_methods = false;  // those of LogAggregatorHandler, as they came
};

// `object` as a handler of ours, and what its type is to us; null: it is none.
HandlerObject* as_handler(ModuleState& state, PyObject* object, HandlerTraits& traits);

// Whether handle() would do nothing else than encode the record and hand it over.
bool takes_the_short_way(const ModuleState& state, HandlerObject* handler,
                         const HandlerTraits& traits);

// Calls the handler's handleError(record) with the error that is set, as an except clause would,
// where it is an Exception. False with a Python error set: another one, or what handleError raised.
bool handle_error(HandlerObject* handler, PyObject* record);

// The LogRecord of ours that Logger.handle() has been given on this thread, while it runs.
class BuiltRecord {
 public:
  explicit BuiltRecord(PyObject* record) : outer_(current_) { current_ = record; }
  ~BuiltRecord() { current_ = outer_; }
  BuiltRecord(const BuiltRecord&) = delete;
  BuiltRecord& operator=(const BuiltRecord&) = delete;
  static bool is(PyObject* record) { return current_ == record; }

 private:
  static thread_local PyObject* current_;
  PyObject* const outer_;
};

}  // namespace log_aggregator::python
