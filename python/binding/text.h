// Python objects as UTF-8 text, whatever they do: the interpreter lock is held throughout, nothing
// here leaves a Python error set.

#pragma once

#include <string>
#include <string_view>

#include "python/binding/reference.h"

namespace log_aggregator::python {

// Keeps the first error that is no Exception (KeyboardInterrupt, SystemExit) while the record in
// hand is finished, and gives it back afterwards; ordinary errors are swallowed.
class Interruption {
 public:
  // Clears the error that is set. Returns the name of its type.
  std::string take();
  // Sets what was kept again. Returns whether there was anything.
  bool restore();

 private:
  Ref type_, value_, traceback_;
};

// The error that is set, whole and with its traceback, to be set again later.
class SavedError {
 public:
  SavedError();
  PyObject* value() const { return value_ ? value_.get() : Py_None; }
  void restore() { PyErr_Restore(type_.release(), value_.release(), traceback_.release()); }

 private:
  Ref type_, value_, traceback_;
};

// The UTF-8 of a str, lone surrogates encoded as three bytes each: JsonWriter replaces them.
class Utf8 {
 public:
  explicit Utf8(PyObject* text) {
    if (PyUnicode_IS_COMPACT_ASCII(text)) {
      view_ = {static_cast<const char*>(PyUnicode_DATA(text)),
               static_cast<std::size_t>(PyUnicode_GET_LENGTH(text))};
    } else {
      encode(text);
    }
  }
  std::string_view view() const { return view_; }

 private:
  void encode(PyObject* text);

  Ref bytes_;  // where the str itself does not keep the bytes
  std::string_view view_;
};

// "<unprintable Foo: ValueError>" for the error that is set, which it clears.
std::string unprintable(PyObject* object, Interruption& interruption);

// str(object) and repr(object), or unprintable().
std::string str_of(PyObject* object, Interruption& interruption);
std::string repr_of(PyObject* object, Interruption& interruption);

// The name of a class without its modules.
std::string_view short_type_name(PyTypeObject* type);

}  // namespace log_aggregator::python
