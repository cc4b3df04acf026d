// What other C++ code of the process logs through a Python handler by: a capsule around
// LogAggregatorHandlerFunctions, see log_aggregator/handler_functions.h.
//
// Who holds it, as a capsule or by retain(), keeps the Python handler alive, with its callables and
// all that is done for it when the program ends. The functions are for any thread: one that holds
// the interpreter lock lets go of it while it waits. Where the lock cannot be had any more, as the
// interpreter ends, such a thread stays where it is, which is what CPython does since 3.14: up to
// then it unwinds the thread, and the code that called us may not be made for that. Nobody waits
// for the lock to let go of a handler: what is let go without it goes when the next capsule is
// made, as is what a thread in a sub-interpreter lets go, whose objects ours are not.

#pragma once

#include "python/binding/core.h"

namespace log_aggregator::python {

// A new capsule, null with a Python error set. `core` is a _core.Core, `keeper` the object that
// uses it. With the interpreter lock.
PyObject* make_capsule(PyObject* core, PyObject* keeper);

}  // namespace log_aggregator::python
