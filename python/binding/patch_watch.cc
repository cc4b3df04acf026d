#include "python/binding/patch_watch.h"

#include <string_view>

namespace log_aggregator::python {
namespace {

bool is_special(PyObject* name) {
  const char* const text = PyUnicode_Check(name) ? PyUnicode_AsUTF8(name) : nullptr;
  if (!text) PyErr_Clear();
  return !text || std::string_view(text).starts_with("__");
}

// Others keep data, which changes in the course of things.
bool is_constant(PyObject* value) {
  return PyFunction_Check(value) || PyType_Check(value) || PyModule_Check(value) ||
         PyUnicode_CheckExact(value) || PyLong_CheckExact(value);
}

bool is_own(PyObject* module_dict, PyObject* value) {
  return !PyFunction_Check(value) || PyFunction_GET_GLOBALS(value) == module_dict;
}

}  // namespace

bool PatchWatch::add_module(PyObject* module, std::initializer_list<const char*> classes) {
  PyObject* const dict = PyModule_GetDict(module);
  PyObject* name = nullptr;
  PyObject* value = nullptr;
  for (Py_ssize_t at = 0; PyDict_Next(dict, &at, &name, &value);) {
    if (is_special(name) || !is_constant(value)) continue;
    if (!is_own(dict, value)) return false;
    add_value(dict, name, value);
  }
  for (const char* const name_of_class : classes) {
    if (!add_class(dict, name_of_class)) return false;
  }
  return true;
}

bool PatchWatch::add_class(PyObject* module_dict, const char* name) {
  PyObject* const found = PyDict_GetItemString(module_dict, name);
  if (!found || !PyType_Check(found)) return false;
  PyObject* const dict = reinterpret_cast<PyTypeObject*>(found)->tp_dict;
  PyObject* const module_name = PyDict_GetItemString(module_dict, "__name__");
  PyObject* const defined_in = PyDict_GetItemString(dict, "__module__");
  if (!module_name || !defined_in || PyUnicode_Compare(module_name, defined_in) != 0) return false;
  PyObject* key = nullptr;
  PyObject* value = nullptr;
  for (Py_ssize_t at = 0; PyDict_Next(dict, &at, &key, &value);) {
    if (is_special(key) && !PyFunction_Check(value)) continue;
    if (!is_own(module_dict, value)) return false;
    add_value(dict, key, value);
  }
  return true;
}

bool PatchWatch::add_function(PyObject* module, PyObject* holder_dict, const char* name) {
  PyObject* const value = PyDict_GetItemString(holder_dict, name);
  if (!value || !PyFunction_Check(value) || !is_own(PyModule_GetDict(module), value)) return false;
  const Ref key = Ref::steal(PyUnicode_InternFromString(name));
  if (!key) {
    PyErr_Clear();
    return false;
  }
  add_value(holder_dict, key.get(), value);
  return true;
}

void PatchWatch::add_value(PyObject* holder_dict, PyObject* name, PyObject* value) {
  watched_.push_back({Ref::share(holder_dict), Ref::share(name), Ref::share(value)});
}

bool PatchWatch::is_unchanged() const {
  for (const Watched& watched : watched_) {
    if (PyDict_GetItemWithError(watched.dict.get(), watched.name.get()) == watched.value.get()) {
      continue;
    }
    PyErr_Clear();
    return false;
  }
  return true;
}

}  // namespace log_aggregator::python
