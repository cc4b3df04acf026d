// The type _core.Core: a log_aggregator::Handler that takes Python's log records.
//
// It converts, and it holds the interpreter lock or lets go of it; all else is the handler's. Its
// methods are described in log_aggregator_handler/_core.pyi.

#pragma once

#include "python/binding/record.h"
#include "python/binding/reference.h"

namespace log_aggregator::python {

struct ModuleState {
  AttributeTable attributes;
};

// The type as a new object, null with a Python error set. `module` keeps a ModuleState*.
PyObject* create_core_type(PyObject* module);

// The state of the module that made `type`.
ModuleState& module_state(PyTypeObject* type);

}  // namespace log_aggregator::python
