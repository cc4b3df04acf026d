// Ref owns one reference to a Python object, or none.
//
// Create, copy and destroy it only while holding the interpreter lock. A Ref must not be alive in a
// frame that waits for that lock: a thread that asks for it while the interpreter ends is unwound
// without it. See without_gil() in gil.h.

#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <utility>

namespace log_aggregator::python {

class Ref {
 public:
  Ref() = default;
  // Takes over the caller's reference, which may be null: what most C API functions return.
  static Ref steal(PyObject* object) { return Ref(object); }
  static Ref share(PyObject* object) { return Ref(Py_XNewRef(object)); }

  Ref(const Ref& other) : object_(Py_XNewRef(other.object_)) {}
  Ref(Ref&& other) noexcept : object_(std::exchange(other.object_, nullptr)) {}
  Ref& operator=(Ref other) noexcept {
    std::swap(object_, other.object_);
    return *this;
  }
  ~Ref() { Py_XDECREF(object_); }

  PyObject* get() const { return object_; }
  PyObject* release() { return std::exchange(object_, nullptr); }
  explicit operator bool() const { return object_ != nullptr; }

 private:
  explicit Ref(PyObject* object) : object_(object) {}

  PyObject* object_ = nullptr;
};

}  // namespace log_aggregator::python
