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

namespace detail {

// Why `object` gave no table of functions, by the Python error that is set, which it clears.
inline Status why_no_functions(PyObject* object) {
  const bool interrupted = PyErr_ExceptionMatches(PyExc_KeyboardInterrupt) != 0;
  const bool no_memory = PyErr_ExceptionMatches(PyExc_MemoryError) != 0;
  PyErr_Clear();
  if (interrupted) PyErr_SetInterrupt();
  if (interrupted) return Status::unavailable("interrupted");
  if (no_memory) return {StatusCode::out_of_memory, "no memory to join a handler"};
  return Status::invalid_argument(
      std::string("a LogAggregatorHandler of log_aggregator_handler is needed, not ") +
      Py_TYPE(object)->tp_name);
}

}  // namespace detail

// A Handler that logs through `python_handler`, a log_aggregator_handler.LogAggregatorHandler,
// which lives at least as long; see Handler::join(). To be called with the interpreter lock and
// without a Python error set, and sets none. What it returns may be used and destroyed on any
// thread, with the lock or without, also after the interpreter has ended; in a sub-interpreter by
// calls that do not wait, see handler_functions.h. Fails with invalid_argument for other objects
// and for a handler of another version, and with out_of_memory. A Ctrl-C that comes meanwhile makes
// it fail with unavailable, and is raised again as soon as the interpreter runs on.
inline Result<std::unique_ptr<Handler>> handler_of(PyObject* python_handler,
                                                   std::string_view logger = {}) {
  PyObject* const capsule = PyObject_GetAttrString(python_handler, "capsule");
  const void* const functions =
      capsule ? PyCapsule_GetPointer(capsule, LOG_AGGREGATOR_HANDLER_FUNCTIONS_NAME) : nullptr;
  if (!functions) {
    Status why = detail::why_no_functions(python_handler);
    Py_XDECREF(capsule);
    return why;
  }
  auto joined = Handler::join(*static_cast<const HandlerFunctions*>(functions), logger);
  Py_DECREF(capsule);
  return joined;
}

}  // namespace log_aggregator
