// handler_of: the C++ side of a LogAggregatorHandler of Python, for extension modules.
//
//   // extension.cc, called with the handler that the program has made
//   PyObject* use_handler(PyObject*, PyObject* python_handler) {
//     auto joined = log_aggregator::handler_of(python_handler, "shop.pricing");
//     if (!joined.ok()) {
//       PyErr_SetString(PyExc_TypeError, joined.status().message().c_str());
//       return nullptr;
//     }
//     handler = joined.value().release();
//     Py_RETURN_NONE;
//   }
//
// `handler` is a plain pointer there, and what it points at never destroyed: threads, daemon
// threads of Python among them, may be logging while the process ends and destroys its globals.
//
// What C++ logs through it and what Python logs stand in one queue, in one order. The extension has
// a copy of this library of its own, of whatever version; handler_functions.h is all that they
// share. Python's loggers have no part in it: levels and filters that were set there are not asked.
//
// Needs Python's headers, as the extension does.

#pragma once

#ifndef PY_SSIZE_T_CLEAN
#define PY_SSIZE_T_CLEAN
#endif
#include <Python.h>

#include <memory>
#include <string>
#include <string_view>

#include "log_aggregator/handler.h"
#include "log_aggregator/handler_functions.h"
#include "log_aggregator/status.h"

namespace log_aggregator {

// A Handler that logs through `python_handler`, a log_aggregator_handler.LogAggregatorHandler,
// which lives at least as long; see Handler::join(). To be called with the interpreter lock and
// without a Python error set, and sets none. What it returns may be used and destroyed on any
// thread, with the lock or without, also after the interpreter has ended; in a sub-interpreter by
// calls that do not wait, see handler_functions.h. Fails with invalid_argument for other objects
// and for a handler of another version.
inline Result<std::unique_ptr<Handler>> handler_of(PyObject* python_handler,
                                                   std::string_view logger = {}) {
  PyObject* const capsule = PyObject_GetAttrString(python_handler, "capsule");
  const void* const functions =
      capsule ? PyCapsule_GetPointer(capsule, LOG_AGGREGATOR_HANDLER_FUNCTIONS_NAME) : nullptr;
  if (!functions) {
    PyErr_Clear();
    Py_XDECREF(capsule);
    return Status::invalid_argument(
        std::string("a LogAggregatorHandler of log_aggregator_handler is needed, not ") +
        Py_TYPE(python_handler)->tp_name);
  }
  auto joined = Handler::join(*static_cast<const HandlerFunctions*>(functions), logger);
  Py_DECREF(capsule);
  return joined;
}

}  // namespace log_aggregator
