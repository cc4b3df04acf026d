#include "python/binding/accelerate.h"

#include <algorithm>
#include <climits>
#include <vector>

#include "python/binding/log_call.h"
#include "python/binding/module_state.h"

namespace log_aggregator::python {
namespace {

using Method = Accelerator::Method;

// Calls what the method stands for. No Ref is alive here, see log_call.h.
PyObject* call_original(const ModuleState& state, Method method, PyObject* self,
                        PyObject* const* args, Py_ssize_t count, PyObject* keywords) {
  const Py_ssize_t keyword_count = keywords ? PyTuple_GET_SIZE(keywords) : 0;
  constexpr Py_ssize_t kUsual = 12;
  PyObject* usual[kUsual];
  std::vector<PyObject*> many;
  PyObject** all = usual;
  if (count + keyword_count + 1 > kUsual) {
    many.resize(static_cast<std::size_t>(count + keyword_count + 1));
    all = many.data();
  }
  all[0] = self;
  std::copy_n(args, count + keyword_count, all + 1);
  return PyObject_Vectorcall(state.accelerator.original(method), all,
                             static_cast<std::size_t>(count + 1), keywords);
}

// The logger's own answer, which it keeps. -1 with a Python error set.
int ask_if_enabled(const ModuleState& state, PyObject* logger, PyObject* level) {
  PyObject* args[] = {level};
  PyObject* const answer =
      call_original(state, Accelerator::is_enabled_for, logger, args, 1, nullptr);
  if (!answer) return -1;
  const int enabled = PyObject_IsTrue(answer);
  Py_DECREF(answer);
  return enabled;
}

// What the guard against re-entry says, see guards_reentry(). -1 with a Python error set.
int ask_if_disabled(const ModuleState& state, PyObject* logger) {
  PyObject* const answer = PyObject_CallMethodNoArgs(logger, state.names[LogNames::is_disabled]);
  if (!answer) return -1;
  const int disabled = PyObject_IsTrue(answer);
  Py_DECREF(answer);
  return disabled;
}

// A call of debug() to critical(), or of log() with its level taken off. Null without an error: the
// original is to be called.
PyObject* try_log(ModuleState& state, Method method, PyObject* logger, PyObject* level_number,
                  long level, PyObject* const* args, Py_ssize_t count, PyObject* keywords) {
  const LoggerTraits& traits = state.logging.logger_traits(Py_TYPE(logger));
  if (!traits.is_plain || !traits.checks_levels) return nullptr;
  if (method == Accelerator::exception && !traits.logs_errors) return nullptr;
  const LoggerView* view = state.logger_views.read(logger);
  if (!view || view->has_own_methods) return nullptr;
  Enabled enabled = view->is_enabled(level_number, level);
  if (enabled == Enabled::no && !keywords) Py_RETURN_NONE;
  if (enabled == Enabled::unknown) {
    const int answer = ask_if_enabled(state, logger, level_number);
    if (answer < 0) return nullptr;
    enabled = answer > 0 ? Enabled::yes : Enabled::no;
    view = state.logger_views.read(logger);
  } else if (enabled == Enabled::yes && state.logging.guards_reentry()) {
    const int answer = ask_if_disabled(state, logger);
    if (answer < 0) return nullptr;
    if (answer > 0) enabled = Enabled::no;
    view = state.logger_views.read(logger);
  }
  LogCall call{.state = state,
               .logger = logger,
               .level_number = level_number,
               .level = level,
               .msg = args[0],
               .args = args + 1,
               .count = count - 1};
  if (enabled == Enabled::no) {
    if (keywords && call.has_doubled_argument(keywords)) return nullptr;
    Py_RETURN_NONE;
  }
  if (method == Accelerator::exception) {
    call.exc_info = Py_True;
    call.has_exception = true;
  }
  if (!view || (keywords && !call.read_keywords(args + count, keywords))) return nullptr;
#if PY_VERSION_HEX < 0x030B0000
  // There, exception() is a step above error(), which it calls.
  if (method == Accelerator::exception && call.stacklevel > 1) --call.stacklevel;
#endif
  return call.log(traits, *view);
}

template <Method kMethod>
PyObject* log_at_level(PyObject* self, PyObject* const* args, Py_ssize_t count,
                       PyObject* keywords) {
  ModuleState& state = *module_state();
  if (state.accelerator.is_on() && count > 0) {
    constexpr long kLevels[] = {10, 20, 30, 40, 40, 50};
    PyObject* const result = try_log(state, kMethod, self, state.accelerator.level(kMethod),
                                     kLevels[kMethod], args, count, keywords);
    if (result || PyErr_Occurred()) return result;
  }
  return call_original(state, kMethod, self, args, count, keywords);
}

PyObject* log_with_level(PyObject* self, PyObject* const* args, Py_ssize_t count,
                         PyObject* keywords) {
  ModuleState& state = *module_state();
  if (state.accelerator.is_on() && count > 1 && PyLong_CheckExact(args[0])) {
    int overflow = 0;
    const long level = PyLong_AsLongAndOverflow(args[0], &overflow);
    if (overflow == 0 && level >= INT_MIN && level <= INT_MAX) {
      PyObject* const result =
          try_log(state, Accelerator::log, self, args[0], level, args + 1, count - 1, keywords);
      if (result || PyErr_Occurred()) return result;
    }
  }
  return call_original(state, Accelerator::log, self, args, count, keywords);
}

PyObject* is_enabled_for_level(PyObject* self, PyObject* const* args, Py_ssize_t count,
                               PyObject* keywords) {
  ModuleState& state = *module_state();
  if (count == 1 && !keywords && PyLong_CheckExact(args[0]) && !state.logging.guards_reentry() &&
      state.logging.logger_traits(Py_TYPE(self)).is_plain) {
    const LoggerView* const view = state.logger_views.read(self);
    const Enabled enabled = view ? view->is_enabled(args[0], -1) : Enabled::unknown;
    if (enabled != Enabled::unknown) return PyBool_FromLong(enabled == Enabled::yes ? 1 : 0);
  }
  return call_original(state, Accelerator::is_enabled_for, self, args, count, keywords);
}

// findCaller(stack_info=False, stacklevel=1), as Logger._log() calls it.
PyObject* find_caller_of(PyObject* self, PyObject* const* args, Py_ssize_t count,
                         PyObject* keywords) {
  ModuleState& state = *module_state();
  const bool usual = !keywords && count <= 2 && (count < 1 || args[0] == Py_False) &&
                     (count < 2 || PyLong_CheckExact(args[1])) && state.logging.finds_callers();
  const long stacklevel = usual && count == 2 ? PyLong_AsLong(args[1]) : 1;
  if (usual && stacklevel >= 1) {
    if (const CallSite* const site = state.call_sites.find_for_method(stacklevel)) {
      return Py_BuildValue("(OOOO)", site->pathname(), site->line_number.get(), site->function(),
                           Py_None);
    }
  }
  if (PyErr_Occurred() && !PyErr_ExceptionMatches(PyExc_Exception)) return nullptr;
  PyErr_Clear();
  return call_original(state, Accelerator::find_caller, self, args, count, keywords);
}

struct Definition {
  const char* name;
  const char* signature;
  PyObject* (*function)(PyObject*, PyObject* const*, Py_ssize_t, PyObject*);
  long level;  // 0: the caller says it
};

constexpr const char* kLogSignature = "($self, msg, *args, **kwargs)";

// In the order of Accelerator::Method.
constexpr Definition kDefinitions[] = {
    {"debug", kLogSignature, log_at_level<Accelerator::debug>, 10},
    {"info", kLogSignature, log_at_level<Accelerator::info>, 20},
    {"warning", kLogSignature, log_at_level<Accelerator::warning>, 30},
    {"error", kLogSignature, log_at_level<Accelerator::error>, 40},
    {"exception", "($self, msg, *args, exc_info=True, **kwargs)",
     log_at_level<Accelerator::exception>, 40},
    {"critical", kLogSignature, log_at_level<Accelerator::critical>, 50},
    {"log", "($self, level, msg, *args, **kwargs)", log_with_level, 0},
    {"isEnabledFor", "($self, level)", is_enabled_for_level, 0},
    {"findCaller", "($self, stack_info=False, stacklevel=1)", find_caller_of, 0},
};

PyObject* logger_class(const ModuleState& state) {
  return reinterpret_cast<PyObject*>(state.logging.logger_type());
}

}  // namespace

bool Accelerator::turn_on(ModuleState& state) {
  if (!state.logging.load() || !(prepared_ || prepare(state))) return false;
  for (std::size_t i = 0; i < kMethods; ++i) {
    OwnMethod& method = methods_[i];
    const char* const name = kDefinitions[i].name;
    const Ref present = Ref::steal(PyObject_GetAttrString(logger_class(state), name));
    if (!present) return false;
    if (!state.logging.is_own_function(present.get(), name)) continue;
    method.original = present;
    if (PyObject_SetAttrString(logger_class(state), name, method.descriptor.get()) < 0) {
      return false;
    }
  }
  on_ = true;
  return true;
}

bool Accelerator::turn_off(ModuleState& state) {
  on_ = false;
  for (std::size_t i = 0; prepared_ && i < kMethods; ++i) {
    const OwnMethod& method = methods_[i];
    const char* const name = kDefinitions[i].name;
    const Ref present = Ref::steal(PyObject_GetAttrString(logger_class(state), name));
    PyErr_Clear();
    if (present.get() != method.descriptor.get()) continue;
    if (PyObject_SetAttrString(logger_class(state), name, method.original.get()) < 0) return false;
  }
  return true;
}

bool Accelerator::prepare(ModuleState& state) {
  std::vector<Ref> descriptors;
  for (std::size_t i = 0; i < kMethods; ++i) {
    if (!prepare(state, static_cast<Method>(i))) return false;
    descriptors.push_back(methods_[i].descriptor);
  }
  state.logging.set_own_methods(std::move(descriptors));
  prepared_ = true;
  return true;
}

bool Accelerator::prepare(ModuleState& state, Method which) {
  OwnMethod& method = methods_[which];
  const Definition& definition = kDefinitions[which];
  method.original = Ref::steal(PyObject_GetAttrString(logger_class(state), definition.name));
  if (!method.original) return false;
  if (definition.level > 0) {
    method.level = Ref::steal(PyLong_FromLong(definition.level));
    if (!method.level) return false;
  }
  const Ref doc = Ref::steal(PyObject_GetAttrString(method.original.get(), "__doc__"));
  const char* const text = doc && PyUnicode_Check(doc.get()) ? PyUnicode_AsUTF8(doc.get()) : "";
  PyErr_Clear();
  // What inspect.signature() reads, then what help() shows.
  method.documentation =
      std::string(definition.name) + definition.signature + "\n--\n\n" + (text ? text : "");
  method.definition = {
      definition.name,
      reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(definition.function)),
      METH_FASTCALL | METH_KEYWORDS, method.documentation.c_str()};
  method.descriptor =
      Ref::steal(PyDescr_NewMethod(state.logging.logger_type(), &method.definition));
  return static_cast<bool>(method.descriptor);
}

}  // namespace log_aggregator::python
