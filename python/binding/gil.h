// without_gil runs a function that may wait, with the interpreter lock released.
//
// It is no RAII class on purpose: while the interpreter ends, taking the lock again unwinds the
// thread (CPython 3.10 to 3.13), which must not pass a destructor, as those are noexcept. For the
// same reason no Ref may be alive in the calling frames of ours.

#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

namespace log_aggregator::python {

template <typename Function>
auto without_gil(Function&& function) {
  PyThreadState* const state = PyEval_SaveThread();
  auto result = function();
  PyEval_RestoreThread(state);
  return result;
}

}  // namespace log_aggregator::python
