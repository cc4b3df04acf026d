#include "python/binding/values.h"

#include <algorithm>

namespace log_aggregator::python {
namespace {

constexpr std::size_t kMaxKeyBytes = 256;

constexpr std::string_view kCycle = "<cut: contains itself>";
constexpr std::string_view kCut = "<cut>";
constexpr std::string_view kCutMark = "\xE2\x80\xA6[cut]";  // an ellipsis, then [cut]
constexpr std::string_view kTooDeep = "<cut: too deep>";

// The class `name` of `module`, only where the module is loaded: without it there are no instances,
// and importing it here would cost whoever never needs it.
Ref loaded_attribute(const char* module_name, const char* name, Interruption& interruption) {
  Ref key = Ref::steal(PyUnicode_FromString(module_name));
  Ref module = key ? Ref::steal(PyImport_GetModule(key.get())) : Ref();
  Ref attribute = module ? Ref::steal(PyObject_GetAttrString(module.get(), name)) : Ref();
  if (PyErr_Occurred()) interruption.take();
  return attribute;
}

bool is_instance(PyObject* value, const char* module, const char* name,
                 Interruption& interruption) {
  const Ref type = loaded_attribute(module, name, interruption);
  return type && PyType_Check(type.get()) &&
         PyObject_TypeCheck(value, reinterpret_cast<PyTypeObject*>(type.get()));
}

// Unlike is_instance() asks the abstract class, which may run any code.
bool is_virtual_instance(PyObject* value, const char* name, Interruption& interruption) {
  const Ref type = loaded_attribute("collections.abc", name, interruption);
  if (!type) return false;
  const int answer = PyObject_IsInstance(value, type.get());
  if (answer < 0) interruption.take();
  return answer > 0;
}

bool is_dataclass_instance(PyObject* value) {
  return !PyType_Check(value) && PyObject_HasAttrString(reinterpret_cast<PyObject*>(Py_TYPE(value)),
                                                        "__dataclass_fields__");
}

bool has_plain_keys(PyObject* dict) {
  PyObject* key = nullptr;
  Py_ssize_t position = 0;
  while (PyDict_Next(dict, &position, &key, nullptr)) {
    if (!is_plain_key(key)) return false;
  }
  return true;
}

}  // namespace

bool is_plain_key(PyObject* key) {
  return PyUnicode_CheckExact(key) && PyUnicode_IS_ASCII(key) &&
         PyUnicode_GET_LENGTH(key) <= static_cast<Py_ssize_t>(kMaxKeyBytes);
}

void ObjectKeys::write_cut() {
  write(kCut);
  json_.boolean(true);
}

void ObjectKeys::write(PyObject* key) {
  if (PyUnicode_CheckExact(key)) return write(Utf8(key).view());
  write(str_of(key, interruption_));
}

void ObjectKeys::write(std::string_view name) {
  if (distinct_) return json_.key(name);
  std::string unique(name.substr(0, kMaxKeyBytes));
  if (name.size() > kMaxKeyBytes) unique += kCutMark;
  const std::string base = unique;
  for (int n = 2;; ++n) {
    std::string escaped;
    append_json_escaped(escaped, unique);
    if (seen_.insert(std::move(escaped)).second) return json_.key(unique);
    unique = base + "#" + std::to_string(n);
  }
}

void ValueWriter::write(PyObject* value) {
  PyTypeObject* const type = Py_TYPE(value);
  if (type == &PyUnicode_Type) return write_text(Utf8(value).view());
  if (type == &PyLong_Type) return write_int(value);
  if (type == &PyBool_Type) return json_.boolean(value == Py_True);
  if (type == &PyFloat_Type) return json_.real(PyFloat_AS_DOUBLE(value));
  if (value == Py_None) return json_.null();
  if (type == &PyDict_Type) return write_dict(value);
  if (type == &PyList_Type) return write_list(value);
  if (type == &PyTuple_Type) return write_tuple(value);
  write_uncommon(value);
}

// On true, the caller writes the container and then leaves.
bool ValueWriter::enter(PyObject* container) {
  if (std::find(path_, path_ + depth_, container) != path_ + depth_) {
    json_.string(kCycle);
    return false;
  }
  if (depth_ == kMaxDepth) {
    json_.string(kTooDeep);
    return false;
  }
  path_[depth_++] = container;
  return true;
}

// Escaping may make a text six times longer, so what fits is found by trying.
void ValueWriter::write_text(std::string_view utf8) {
  const std::size_t start = json_.size();
  std::size_t keep = max_bytes_ > start ? max_bytes_ - start : 0;
  if (utf8.size() <= keep) {
    json_.string(utf8);
    if (!full()) return;
  }
  for (; keep > 0; keep /= 2) {
    json_.rollback(start);
    json_.string(std::string(utf8.substr(0, keep)).append(kCutMark));
    if (!full()) return;
  }
  json_.rollback(start);
  json_.string(kCutMark);
}

void ValueWriter::write_int(PyObject* value) {
  int overflow = 0;
  const long long small = PyLong_AsLongLongAndOverflow(value, &overflow);
  if (overflow == 0) return json_.integer(small);
  // Fails above sys.get_int_max_str_digits().
  const Ref digits = Ref::steal(PyNumber_ToBase(value, 10));
  if (!digits) return write_text(unprintable(value, interruption_));
  const Utf8 utf8(digits.get());
  const std::string_view text = utf8.view();
  if (json_.size() + text.size() > max_bytes_) return json_.string(kCut);
  json_.raw(text);
}

// Writing a value may run code that changes the dict: PyDict_Next copes, and the references are
// ours meanwhile.
void ValueWriter::write_dict(PyObject* dict) {
  if (!enter(dict)) return;
  ObjectKeys keys(json_, interruption_, has_plain_keys(dict));
  json_.begin_object();
  PyObject* key = nullptr;
  PyObject* value = nullptr;
  Py_ssize_t position = 0;
  while (PyDict_Next(dict, &position, &key, &value)) {
    if (full()) {
      keys.write_cut();
      break;
    }
    const Ref own_key = Ref::share(key);
    const Ref own_value = Ref::share(value);
    keys.write(own_key.get());
    write(own_value.get());
  }
  json_.end_object();
  leave();
}

void ValueWriter::write_list(PyObject* list) {
  if (!enter(list)) return;
  json_.begin_array();
  for (Py_ssize_t i = 0; i < PyList_GET_SIZE(list); ++i) {
    if (full()) {
      json_.string(kCut);
      break;
    }
    write(Ref::share(PyList_GET_ITEM(list, i)).get());
  }
  json_.end_array();
  leave();
}

void ValueWriter::write_tuple(PyObject* tuple) {
  if (!enter(tuple)) return;
  json_.begin_array();
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(tuple); ++i) {
    if (full()) {
      json_.string(kCut);
      break;
    }
    write(PyTuple_GET_ITEM(tuple, i));
  }
  json_.end_array();
  leave();
}

void ValueWriter::write_uncommon(PyObject* value) {
  if (is_instance(value, "enum", "Enum", interruption_)) return write_enum(value);
  if (write_scalar_subclass(value) || write_library_type(value)) return;
  if (PyDict_Check(value)) return write_dict(value);
  if (PyList_Check(value)) return write_list(value);
  if (PyTuple_Check(value)) return write_tuple(value);
  if (is_dataclass_instance(value)) return write_dataclass(value);
  if (write_abstract_container(value)) return;
  write_text(repr_of(value, interruption_));
}

bool ValueWriter::write_scalar_subclass(PyObject* value) {
  if (PyUnicode_Check(value)) {
    write_text(Utf8(value).view());
    return true;
  }
  if (PyLong_Check(value)) {
    write_int(value);
    return true;
  }
  if (PyFloat_Check(value)) {
    json_.real(PyFloat_AS_DOUBLE(value));
    return true;
  }
  if (!PyIndex_Check(value)) return false;
  // Numbers of other libraries; arrays have the method too, and refuse.
  const Ref number = Ref::steal(PyNumber_Index(value));
  if (!number) {
    interruption_.take();
    return false;
  }
  write_int(number.get());
  return true;
}

bool ValueWriter::write_library_type(PyObject* value) {
  if (is_instance(value, "datetime", "date", interruption_) ||  // datetime is a date
      is_instance(value, "datetime", "time", interruption_)) {
    write_method_result(value, "isoformat");
    return true;
  }
  if (is_instance(value, "uuid", "UUID", interruption_) ||
      is_instance(value, "decimal", "Decimal", interruption_) ||
      is_instance(value, "pathlib", "PurePath", interruption_)) {
    write_text(str_of(value, interruption_));
    return true;
  }
  return false;
}

bool ValueWriter::write_abstract_container(PyObject* value) {
  if (PyBytes_Check(value) || PyByteArray_Check(value) || PyMemoryView_Check(value)) return false;
  if (is_virtual_instance(value, "Mapping", interruption_)) {
    write_mapping(value);
    return true;
  }
  if (PyAnySet_Check(value) || is_virtual_instance(value, "Sequence", interruption_) ||
      is_virtual_instance(value, "Set", interruption_)) {
    write_iterable(value);
    return true;
  }
  return false;
}

void ValueWriter::write_method_result(PyObject* value, const char* method) {
  const Ref text = Ref::steal(PyObject_CallMethod(value, method, nullptr));
  if (text && PyUnicode_Check(text.get())) return write_text(Utf8(text.get()).view());
  if (!text) return write_text(unprintable(value, interruption_));
  write_text(repr_of(value, interruption_));
}

void ValueWriter::write_enum(PyObject* member) {
  if (!enter(member)) return;
  const Ref value = Ref::steal(PyObject_GetAttrString(member, "value"));
  if (value) {
    write(value.get());
  } else {
    write_text(unprintable(member, interruption_));
  }
  leave();
}

void ValueWriter::write_dataclass(PyObject* instance) {
  const Ref function = loaded_attribute("dataclasses", "fields", interruption_);
  const Ref fields = function ? Ref::steal(PyObject_CallOneArg(function.get(), instance)) : Ref();
  if (!fields || !PyTuple_Check(fields.get())) {
    if (PyErr_Occurred()) interruption_.take();
    return write_text(repr_of(instance, interruption_));
  }
  if (!enter(instance)) return;
  ObjectKeys keys(json_, interruption_, false);
  json_.begin_object();
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(fields.get()); ++i) {
    if (full()) {
      keys.write_cut();
      break;
    }
    const Ref name = Ref::steal(PyObject_GetAttrString(PyTuple_GET_ITEM(fields.get(), i), "name"));
    if (!name) {
      interruption_.take();
      continue;
    }
    keys.write(name.get());
    const Ref value = Ref::steal(PyObject_GetAttr(instance, name.get()));
    if (value) {
      write(value.get());
    } else {
      write_text(unprintable(instance, interruption_));
    }
  }
  json_.end_object();
  leave();
}

void ValueWriter::write_mapping(PyObject* mapping) {
  const Ref iterator = Ref::steal(PyObject_GetIter(mapping));
  if (!iterator) {
    interruption_.take();
    return write_text(repr_of(mapping, interruption_));
  }
  if (!enter(mapping)) return;
  ObjectKeys keys(json_, interruption_, false);
  json_.begin_object();
  while (const Ref key = Ref::steal(PyIter_Next(iterator.get()))) {
    if (full()) {
      keys.write_cut();
      break;
    }
    keys.write(key.get());
    const Ref value = Ref::steal(PyObject_GetItem(mapping, key.get()));
    if (value) {
      write(value.get());
    } else {
      write_text(unprintable(mapping, interruption_));
    }
  }
  if (PyErr_Occurred()) {
    keys.write(kCut);
    write_text(unprintable(mapping, interruption_));
  }
  json_.end_object();
  leave();
}

void ValueWriter::write_iterable(PyObject* iterable) {
  const Ref iterator = Ref::steal(PyObject_GetIter(iterable));
  if (!iterator) {
    interruption_.take();
    return write_text(repr_of(iterable, interruption_));
  }
  if (!enter(iterable)) return;
  json_.begin_array();
  while (const Ref element = Ref::steal(PyIter_Next(iterator.get()))) {
    if (full()) {
      json_.string(kCut);
      break;
    }
    write(element.get());
  }
  if (PyErr_Occurred()) write_text(unprintable(iterable, interruption_));
  json_.end_array();
  leave();
}

}  // namespace log_aggregator::python
