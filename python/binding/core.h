// The type _core.Core: a log_aggregator::Handler that takes Python's log records.
//
// It converts, and it holds the interpreter lock or lets go of it; all else is the handler's. Its
// methods are described in log_aggregator_handler/_core.pyi.

#pragma once

#include <memory>
#include <vector>

#include "log_aggregator/handler.h"
#include "python/binding/callbacks.h"
#include "python/binding/reference.h"
#include "src/handler/record_writer.h"

namespace log_aggregator::python {

// What a Core object owns. Guarded by the interpreter lock but for `handler`, which is thread-safe.
struct Core {
  std::shared_ptr<Callbacks> callbacks;
  std::unique_ptr<Handler> handler;
  Ref level_map;

  // Not one writer for each thread, but one for each record that is being written: formatting one
  // may log another.
  std::unique_ptr<RecordWriter> take_writer();
  // One that had to grow beyond a record's limit is let go, with its memory.
  void give_back(std::unique_ptr<RecordWriter> writer, bool grew);

 private:
  std::vector<std::unique_ptr<RecordWriter>> idle_writers_;
};

// The type as a new object, null with a Python error set. `module` keeps a ModuleState*.
PyObject* create_core_type(PyObject* module);

// Null with a Python error set where __init__ failed. `object` is one of that type.
Core* core_of(PyObject* object);

}  // namespace log_aggregator::python
