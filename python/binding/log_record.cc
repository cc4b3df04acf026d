#include "python/binding/log_record.h"

#include <cmath>

namespace log_aggregator::python {

// In the order in which LogRecord.__init__ sets them.
enum RecordBuilder::Name : unsigned char {
  kName,
  kMsg,
  kArgs,
  kLevelName,
  kLevelNo,
  kPathName,
  kFileName,
  kModule,
  kExcInfo,
  kExcText,
  kStackInfo,
  kLineNo,
  kFuncName,
  kCreated,
  kMsecs,
  kRelativeCreated,
  kThread,
  kThreadName,
  kProcessName,
  kProcess,
#if PY_VERSION_HEX >= 0x030C0000
  kTaskName,
#endif
  kNames,
};

namespace {

constexpr const char* kTexts[] = {
    "name",        "msg",     "args",     "levelname",       "levelno",    "pathname",
    "filename",    "module",  "exc_info", "exc_text",        "stack_info", "lineno",
    "funcName",    "created", "msecs",    "relativeCreated", "thread",     "threadName",
    "processName", "process", "taskName"};

// In 3.13.0 PyObject_GenericSetDict() leaves the values inside the object in force, which are none.
bool set_dict(PyObject* object, PyObject* dict) {
#if PY_VERSION_HEX >= 0x030D0000
  return _PyObject_SetManagedDict(object, dict) == 0;
#else
  return PyObject_GenericSetDict(object, dict, nullptr) == 0;
#endif
}

Ref real(double value) { return Ref::steal(PyFloat_FromDouble(value)); }

}  // namespace

bool RecordBuilder::load(const StandardLogging& logging) {
  static_assert(kNames <= kMostNames);
  type_ = Ref::share(reinterpret_cast<PyObject*>(logging.record_type()));
  level_names_ = Ref::share(logging.level_names());
  get_level_name_ = Ref::share(PyDict_GetItemString(logging.logging_dict(), "getLevelName"));
  const Ref abc = Ref::steal(PyImport_ImportModule("collections.abc"));
  if (!abc) return false;
  mapping_ = Ref::steal(PyObject_GetAttrString(abc.get(), "Mapping"));
  main_process_ = Ref::steal(PyUnicode_InternFromString("MainProcess"));
  template_ = Ref::steal(PyDict_New());
  if (!get_level_name_ || !mapping_ || !main_process_ || !template_) return false;
  for (int i = 0; i < kNames; ++i) {
    names_[i] = Ref::steal(PyUnicode_InternFromString(kTexts[i]));
    if (!names_[i] || PyDict_SetItem(template_.get(), names_[i].get(), Py_None) < 0) return false;
  }
  PyObject* const start = PyDict_GetItemString(logging.logging_dict(), "_startTime");
#if PY_VERSION_HEX >= 0x030D0000
  start_ns_ = start ? PyLong_AsLongLong(start) : 0;
#else
  start_seconds_ = start ? PyFloat_AsDouble(start) : 0;
#endif
  return !PyErr_Occurred();
}

Ref RecordBuilder::build(const RecordParts& parts) const {
  const Ref level = level_name(parts.level);
  const Ref args = record_args(parts.args);
  Ref dict = Ref::steal(PyDict_Copy(template_.get()));
  if (!level || !args || !dict) return {};
  PyObject* const target = dict.get();
  const CallSite& site = *parts.site;
  const bool complete =
      set(target, kName, parts.name) && set(target, kMsg, parts.msg) && set(target, kArgs, args) &&
      set(target, kLevelName, level) && set(target, kLevelNo, parts.level) &&
      set(target, kPathName, site.pathname()) && set(target, kFileName, site.filename) &&
      set(target, kModule, site.module) && set(target, kExcInfo, parts.exc_info) &&
      set(target, kStackInfo, parts.stack_info) && set(target, kLineNo, site.line_number) &&
      set(target, kFuncName, site.function()) && set_times(target, parts.time_ns) &&
      set_identity(target, *parts.identity);
  if (!complete) return {};
  auto* const type = reinterpret_cast<PyTypeObject*>(type_.get());
  Ref record = Ref::steal(type->tp_alloc(type, 0));
  if (!record || !set_dict(record.get(), target)) return {};
  return record;
}

bool RecordBuilder::set(PyObject* dict, Name name, PyObject* value) const {
  return PyDict_SetItem(dict, names_[name].get(), value) == 0;
}

bool RecordBuilder::set(PyObject* dict, Name name, const Ref& value) const {
  return value && set(dict, name, value.get());
}

bool RecordBuilder::set_times(PyObject* dict, std::int64_t time_ns) const {
  constexpr std::int64_t kNanoseconds = 1'000'000'000;
  const double created = static_cast<double>(time_ns) / 1e9;
#if PY_VERSION_HEX >= 0x030D0000
  auto msecs = static_cast<double>(time_ns % kNanoseconds / 1'000'000);
  const bool rounded_up = std::trunc(created) != static_cast<double>(time_ns / kNanoseconds);
  if (msecs == 999.0 && rounded_up) msecs = 0.0;
  const double relative = static_cast<double>(time_ns - start_ns_) / 1e6;
#else
  static_cast<void>(kNanoseconds);
  const double msecs = std::trunc((created - std::trunc(created)) * 1000);
  const double relative = (created - start_seconds_) * 1000;
#endif
  return set(dict, kCreated, real(created)) && set(dict, kMsecs, real(msecs)) &&
         set(dict, kRelativeCreated, real(relative));
}

bool RecordBuilder::set_identity(PyObject* dict, const Identity& identity) const {
#if PY_VERSION_HEX >= 0x030C0000
  if (identity.task_name && !set(dict, kTaskName, identity.task_name)) return false;
#endif
  return set(dict, kThread, Ref::steal(PyLong_FromUnsignedLong(identity.thread))) &&
         set(dict, kThreadName, identity.thread_name) &&
         set(dict, kProcessName, identity.process_name ? identity.process_name : main_process_) &&
         set(dict, kProcess, Ref::steal(PyLong_FromLong(identity.process)));
}

Ref RecordBuilder::level_name(PyObject* level) const {
  if (PyObject* const known = PyDict_GetItemWithError(level_names_.get(), level)) {
    return Ref::share(known);
  }
  if (PyErr_Occurred()) return {};
  return Ref::steal(PyObject_CallOneArg(get_level_name_.get(), level));
}

Ref RecordBuilder::record_args(PyObject* args) const {
  if (PyTuple_GET_SIZE(args) != 1) return Ref::share(args);
  PyObject* const only = PyTuple_GET_ITEM(args, 0);
  const int is_filled = is_filled_mapping(only);
  if (is_filled < 0) return {};
  return Ref::share(is_filled > 0 ? only : args);
}

int RecordBuilder::is_filled_mapping(PyObject* object) const {
  if (PyUnicode_CheckExact(object) || PyLong_CheckExact(object)) return 0;
  const int is_mapping = PyObject_IsInstance(object, mapping_.get());
  return is_mapping > 0 ? PyObject_IsTrue(object) : is_mapping;
}

}  // namespace log_aggregator::python
