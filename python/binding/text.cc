#include "python/binding/text.h"

namespace log_aggregator::python {
namespace {

// CPython keeps the UTF-8 of a str for as long as the str lives: good for what is logged often, a
// waste for long texts.
constexpr Py_ssize_t kMaxKeptLength = 4096;

std::string text_or_unprintable(const Ref& text, PyObject* object, Interruption& interruption) {
  if (text && PyUnicode_Check(text.get())) return std::string(Utf8(text.get()).view());
  if (text) PyErr_SetString(PyExc_TypeError, "not a str");
  return unprintable(object, interruption);
}

}  // namespace

std::string Interruption::take() {
  PyObject* type = nullptr;
  PyObject* value = nullptr;
  PyObject* traceback = nullptr;
  PyErr_Fetch(&type, &value, &traceback);
  if (!type) return "Exception";
  std::string name(short_type_name(reinterpret_cast<PyTypeObject*>(type)));
  const bool keep = !type_ && !PyErr_GivenExceptionMatches(type, PyExc_Exception);
  Ref owned_type = Ref::steal(type);
  Ref owned_value = Ref::steal(value);
  Ref owned_traceback = Ref::steal(traceback);
  if (keep) {
    type_ = std::move(owned_type);
    value_ = std::move(owned_value);
    traceback_ = std::move(owned_traceback);
  }
  return name;
}

bool Interruption::restore() {
  if (!type_) return false;
  PyErr_Restore(type_.release(), value_.release(), traceback_.release());
  return true;
}

SavedError::SavedError() {
  PyObject* type = nullptr;
  PyObject* value = nullptr;
  PyObject* traceback = nullptr;
  PyErr_Fetch(&type, &value, &traceback);
  PyErr_NormalizeException(&type, &value, &traceback);
  if (value && traceback) PyException_SetTraceback(value, traceback);
  type_ = Ref::steal(type);
  value_ = Ref::steal(value);
  traceback_ = Ref::steal(traceback);
}

void Utf8::encode(PyObject* text) {
  Py_ssize_t size = 0;
  if (PyUnicode_GET_LENGTH(text) <= kMaxKeptLength) {
    if (const char* kept = PyUnicode_AsUTF8AndSize(text, &size)) {
      view_ = {kept, static_cast<std::size_t>(size)};
      return;
    }
    PyErr_Clear();
  }
  bytes_ = Ref::steal(PyUnicode_AsEncodedString(text, "utf-8", "surrogatepass"));
  if (!bytes_) {
    PyErr_Clear();
    view_ = "<unprintable str: MemoryError>";
    return;
  }
  view_ = {PyBytes_AS_STRING(bytes_.get()),
           static_cast<std::size_t>(PyBytes_GET_SIZE(bytes_.get()))};
}

std::string_view short_type_name(PyTypeObject* type) {
  const std::string_view name = type->tp_name;
  const std::size_t dot = name.rfind('.');
  return dot == std::string_view::npos ? name : name.substr(dot + 1);
}

std::string unprintable(PyObject* object, Interruption& interruption) {
  std::string text = "<unprintable ";
  text += short_type_name(Py_TYPE(object));
  text += ": ";
  text += interruption.take();
  text += '>';
  return text;
}

std::string str_of(PyObject* object, Interruption& interruption) {
  return text_or_unprintable(Ref::steal(PyObject_Str(object)), object, interruption);
}

std::string repr_of(PyObject* object, Interruption& interruption) {
  return text_or_unprintable(Ref::steal(PyObject_Repr(object)), object, interruption);
}

}  // namespace log_aggregator::python
