// without_gil runs a function that may wait, with the interpreter lock released.
//
// It is no RAII class on purpose: while the interpreter ends, taking the lock again unwinds the
// thread (CPython 3.10 to 3.13), which must not pass a destructor, as those are noexcept. For the
// same reason no Ref may be alive in the calling frames of ours.

#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <cxxabi.h>
#include <unistd.h>

namespace log_aggregator::python {

template <typename Function>
auto without_gil(Function&& function) {
  PyThreadState* const state = PyEval_SaveThread();
  auto result = function();
  PyEval_RestoreThread(state);
  return result;
}

// The state with which the calling thread holds the interpreter lock, null where it does not; also
// while the interpreter ends, and afterwards. PyGILState_Check() then says yes to all, and so it
// does once there has been a sub-interpreter.
//
// Up to 3.11 a thread that has switched to a sub-interpreter is not seen to hold the lock: what is
// current is so for all threads, and the one state that a thread is known by is its first.
inline PyThreadState* held_state() {
#if PY_VERSION_HEX >= 0x030D0000
  PyThreadState* const current = PyThreadState_GetUnchecked();
#else
  PyThreadState* const current = _PyThreadState_UncheckedGet();
#endif
  return current == PyGILState_GetThisThreadState() ? current : nullptr;
}

// Whether others wait for the lock where the calling thread waits for something.
inline bool holds_gil() { return held_state() != nullptr; }

// Whether the calling thread may touch our objects, which are all of the main interpreter.
inline bool is_in_main_interpreter() {
  PyThreadState* const state = held_state();
  return state != nullptr && PyThreadState_GetInterpreter(state) == PyInterpreterState_Main();
}

// For calls that come from code which must not be unwound: a thread that would be, for want of the
// interpreter lock, stays here until the process has ended.
template <typename Function>
auto never_unwound(const Function& function) {
  try {
    return function();
  } catch (const abi::__forced_unwind&) {
    while (true) pause();
  }
}

}  // namespace log_aggregator::python
