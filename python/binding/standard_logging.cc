#include "python/binding/standard_logging.h"

#include <algorithm>
#include <string>
#include <string_view>

#include "python/binding/text.h"

namespace log_aggregator::python {
namespace {

// What Logger.__init__ and Manager.getLogger put into a logger's __dict__, and we read there.
constexpr const char* kLoggerAttributes[] = {"name",     "disabled",  "_cache", "filters",
                                             "handlers", "propagate", "parent", "level"};

// What the code of the functions that we stand for refers to, from 3.10.13 to 3.14.10, with the
// guard against re-entry that some releases of 3.13 have. What refers to something else does
// something else.
constexpr std::string_view kKnownNames =
    " AttributeError BaseException CRITICAL DEBUG ERROR Exception INFO KeyError LogRecord "
    "Mapping NOTSET StringIO TypeError ValueError WARNING __dict__ __traceback__ _acquireLock "
    "_cache _is_disabled _is_internal_frame _lock _log _logRecordFactory _releaseLock "
    "_srcfile _startTime _tls abc args basename callHandlers close co_filename co_name "
    "collections created current_process current_task current_thread currentframe disable "
    "disabled emittedNoHandlerWarning error exc_info exc_text f_back f_code f_lineno filename "
    "filter filters findCaller funcName get getEffectiveLevel getLevelName get_ident get_name "
    "getattr getpid getvalue handle handlers hasattr in_progress int io isEnabledFor "
    "isinstance lastResort len level levelname levelno lineno logAsyncioTasks "
    "logMultiprocessing logProcesses logThreads makeRecord manager module modules msecs msg "
    "name normcase os parent path pathname print_stack process processName propagate "
    "raiseExceptions relativeCreated splitext stack_info stderr str sys taskName thread "
    "threadName threading time time_ns traceback tuple type write ";

// The attribute of the class, not of its metaclass's instances. Null, and no error, without one.
Ref class_attribute(PyTypeObject* type, const char* name) {
  Ref value = Ref::steal(PyObject_GetAttrString(reinterpret_cast<PyObject*>(type), name));
  if (!value) PyErr_Clear();
  return value;
}

// A method of Logger in releases from 3.13.4 on, gone again in later ones: whether the logger is
// disabled, or any logger is handing out a record in this thread.
constexpr const char* kReentryGuard = "_is_disabled";

// callHandlers() goes up "while c": a logger may say that it is false.
bool may_be_false(PyTypeObject* type) {
  return type->tp_as_number->nb_bool || type->tp_as_mapping->mp_length ||
         type->tp_as_sequence->sq_length;
}

bool is_data_descriptor(PyObject* value) { return value && Py_TYPE(value)->tp_descr_set; }

// Tools that wrap a function by exchanging its code leave its file and name, but put what they call
// among the constants, where the compiler puts no such thing.
bool is_as_compiled(PyCodeObject* code) {
  PyObject* const constants = code->co_consts;
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(constants); ++i) {
    if (PyCallable_Check(PyTuple_GET_ITEM(constants, i))) return false;
  }
  return true;
}

bool names_are_known(PyCodeObject* code) {
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(code->co_names); ++i) {
    const Utf8 name(PyTuple_GET_ITEM(code->co_names, i));
    const std::string word = ' ' + std::string(name.view()) + ' ';
    if (kKnownNames.find(word) == std::string_view::npos) return false;
  }
  return true;
}

PyObject* variable(PyObject* dict, PyObject* name) {
  PyObject* const value = PyDict_GetItemWithError(dict, name);
  if (!value) PyErr_Clear();
  return value;
}

}  // namespace

std::uint32_t type_version(PyTypeObject* type) {
#if PY_VERSION_HEX < 0x030D0000
  if (!PyType_HasFeature(type, Py_TPFLAGS_VALID_VERSION_TAG)) return 0;
#endif
  return type->tp_version_tag;
}

// ---- variables of modules

bool ModuleVariables::open(const char* module) {
  const Ref imported = Ref::steal(PyImport_ImportModule(module));
  if (!imported) return false;
  dict_ = Ref::share(PyModule_GetDict(imported.get()));
  variables_.clear();
  checked_version_ = 0;
  return true;
}

bool ModuleVariables::expect(const char* name, PyObject* value) {
  Ref key = Ref::steal(PyUnicode_InternFromString(name));
  if (!key) return false;
  if (!value) value = PyDict_GetItemWithError(dict_.get(), key.get());
  if (!value) {
    if (!PyErr_Occurred()) PyErr_SetObject(PyExc_AttributeError, key.get());
    return false;
  }
  variables_.push_back({std::move(key), Ref::share(value)});
  return true;
}

// None is never the value of a function.
bool ModuleVariables::expect_builtin(const char* name, const char* of) {
  if (!expect(name)) return false;
  Ref& value = variables_.back().value;
  const Ref module = PyCFunction_Check(value.get())
                         ? Ref::steal(PyObject_GetAttrString(value.get(), "__module__"))
                         : Ref();
  PyErr_Clear();
  const bool genuine = module && PyUnicode_Check(module.get()) &&
                       PyUnicode_CompareWithASCIIString(module.get(), of) == 0;
  if (!genuine) value = Ref::share(Py_None);
  return true;
}

bool ModuleVariables::look() const {
  held_ = std::all_of(variables_.begin(), variables_.end(), [this](const Variable& expected) {
    return variable(dict_.get(), expected.name.get()) == expected.value.get();
  });
  checked_version_ = dict_version(dict_.get());
  return held_;
}

// ---- logging

bool StandardLogging::load() {
  const Ref module = Ref::steal(PyImport_ImportModule("logging"));
  const auto read = [&module](const char* name, Ref& value) {
    value = Ref::steal(PyObject_GetAttrString(module.get(), name));
    return static_cast<bool>(value);
  };
  if (!module || !read("Logger", logger_) || !read("LogRecord", record_) ||
      !read("NullHandler", null_handler_) || !read("_levelToName", level_names_) ||
      !read("_srcfile", source_file_)) {
    return false;
  }
  PyObject* const on = Py_True;
  bool complete = logging_.open("logging") && logging_.expect("_logRecordFactory", record_.get()) &&
                  logging_.expect("LogRecord") && logging_.expect("_srcfile") &&
                  logging_.expect("_levelToName") && logging_.expect("getLevelName") &&
                  logging_.expect("currentframe") && logging_.expect("logThreads", on) &&
                  logging_.expect("logProcesses", on) &&
                  logging_.expect("logMultiprocessing", on) && threading_.open("threading") &&
                  threading_.expect_builtin("get_ident", "_thread") &&
                  threading_.expect("current_thread") && time_.open("time") && os_.open("os") &&
                  os_.expect_builtin("getpid", "posix");
#if PY_VERSION_HEX >= 0x030C0000
  complete = complete && logging_.expect("logAsyncioTasks", on);
#endif
#if PY_VERSION_HEX >= 0x030D0000
  complete = complete && time_.expect_builtin("time_ns", "time");
#else
  complete = complete && time_.expect_builtin("time", "time");
#endif
  if (!complete) return false;
  guards_reentry_ = static_cast<bool>(class_attribute(logger_type(), kReentryGuard));
  functions_.clear();
  // An exchanged code is no change of the type.
  loggers_ = {};
  records_ = {};
  for (const char* name : {"_log", "makeRecord", "handle", "filter", "callHandlers"}) {
    watch_function(logger_type(), name);
  }
  for (const char* name : {"__init__", "getMessage"}) watch_function(record_type(), name);
  return true;
}

void StandardLogging::watch_function(PyTypeObject* type, const char* name) {
  const Ref function = class_attribute(type, name);
  if (!is_own_function(function.get(), name)) return;
  functions_.push_back({function, PyFunction_GET_CODE(function.get())});
}

bool StandardLogging::is_own_function(PyObject* object, const char* name) const {
  if (!object || !PyFunction_Check(object)) return false;
  auto* const code = reinterpret_cast<PyCodeObject*>(PyFunction_GET_CODE(object));
  return PyUnicode_Check(source_file_.get()) &&
         PyUnicode_Compare(code->co_filename, source_file_.get()) == 0 &&
         PyUnicode_CompareWithASCIIString(code->co_name, name) == 0 && is_as_compiled(code) &&
         names_are_known(code);
}

bool StandardLogging::is_standard_method(PyTypeObject* type, const char* name) const {
  const Ref method = class_attribute(type, name);
  if (is_own_function(method.get(), name)) return true;
  return std::any_of(own_methods_.begin(), own_methods_.end(), [&method, name](const Ref& own) {
    if (own.get() != method.get()) return false;
    PyObject* const own_name = reinterpret_cast<PyDescrObject*>(own.get())->d_name;
    return PyUnicode_CompareWithASCIIString(own_name, name) == 0;
  });
}

const LoggerTraits& StandardLogging::logger_traits(PyTypeObject* type) {
  if (const LoggerTraits* known = loggers_.find(type)) return *known;
  return loggers_.keep(type, examine_logger(type));
}

LoggerTraits StandardLogging::examine_logger(PyTypeObject* type) const {
  LoggerTraits traits;
  traits.is_plain = type->tp_getattro == PyObject_GenericGetAttr && !may_be_false(type) &&
                    std::none_of(std::begin(kLoggerAttributes), std::end(kLoggerAttributes),
                                 [type](const char* name) {
                                   return is_data_descriptor(class_attribute(type, name).get());
                                 });
  const auto standard = [this, type](const char* name) { return is_standard_method(type, name); };
  traits.checks_levels = standard("isEnabledFor") && standard("getEffectiveLevel") &&
                         (!guards_reentry_ || standard(kReentryGuard));
  traits.logs_errors = standard("error");
  traits.makes_records = standard("_log") && standard("findCaller") && standard("makeRecord");
  traits.hands_out_records = standard("handle") && standard("filter") && standard("callHandlers");
  return traits;
}

bool StandardLogging::makes_standard_records() {
  if (!logging_.hold() || !threading_.hold() || !time_.hold() || !os_.hold()) return false;
  PyTypeObject* const type = record_type();
  const bool* known = records_.find(type);
  if (!known) {
    known = &records_.keep(
        type, type->tp_getattro == PyObject_GenericGetAttr &&
                  type->tp_setattro == PyObject_GenericSetAttr &&
                  type->tp_new == PyBaseObject_Type.tp_new &&
                  is_own_function(class_attribute(type, "__init__").get(), "__init__") &&
                  is_own_function(class_attribute(type, "getMessage").get(), "getMessage"));
  }
  return *known && functions_are_intact();
}

bool StandardLogging::is_standard_record(PyObject* record) {
  PyTypeObject* const type = Py_TYPE(record);
  if (type != record_type()) return false;
  if (!functions_are_intact()) return false;
  if (const bool* known = records_.find(type)) return *known;
  makes_standard_records();
  return is_own_function(class_attribute(type, "getMessage").get(), "getMessage");
}

PyObject* StandardLogging::level_name(PyObject* level_number, long level) {
  PyObject* const names = level_names_.get();
  if (!is_version(names, standard_names_version_)) {
    standard_names_.fill(nullptr);
    standard_names_version_ = dict_version(names);
  }
  constexpr long kStep = 10;
  const auto place = static_cast<std::size_t>(level / kStep);
  const bool is_standard = level >= 0 && level % kStep == 0 && place < standard_names_.size();
  if (is_standard && standard_names_[place]) return standard_names_[place];
  PyObject* const name = variable(names, level_number);
  if (!name || !PyUnicode_CheckExact(name)) return nullptr;
  if (is_standard) standard_names_[place] = name;
  return name;
}

bool StandardLogging::is_null_handler(PyObject* handler) {
  PyTypeObject* const type = Py_TYPE(handler);
  if (reinterpret_cast<PyObject*>(type) != null_handler_.get()) return false;
  const bool* known = null_handlers_.find(type);
  if (!known) {
    known = &null_handlers_.keep(type,
                                 is_own_function(class_attribute(type, "handle").get(), "handle"));
  }
  return *known;
}

}  // namespace log_aggregator::python
