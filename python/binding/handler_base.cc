#include "python/binding/handler_base.h"

#include <structmember.h>

#include <algorithm>
#include <cstddef>
#include <new>
#include <string>

#include "python/binding/emit.h"
#include "python/binding/module_state.h"

namespace log_aggregator::python {

thread_local PyObject* BuiltRecord::current_ = nullptr;

namespace {

HandlerObject* self_of(PyObject* self) { return reinterpret_cast<HandlerObject*>(self); }
PyObject* object_of(HandlerObject* handler) { return reinterpret_cast<PyObject*>(handler); }

// ---- what may be replaced

// The methods that a record's way through LogAggregatorHandler leads through, and the attributes of
// HandlerBase.
constexpr const char* kMethods[] = {"handle", "emit", "filter", "format", "format_record"};
constexpr const char* kAttributes[] = {"level", "filters", "formatter", "lock", "_core"};

// The class LogAggregatorHandler was registered with its methods as they came.
bool has_own_methods(const ModuleState& state, PyTypeObject* type) {
  PyObject* const object = reinterpret_cast<PyObject*>(type);
  const auto matches = [object](const char* name, PyObject* expected) {
    const Ref found = Ref::steal(PyObject_GetAttrString(object, name));
    PyErr_Clear();
    return found && found.get() == expected;
  };
  if (!state.handler_methods || type->tp_getattro != PyObject_GenericGetAttr) return false;
  for (const char* name : kMethods) {
    if (!matches(name, PyDict_GetItemString(state.handler_methods.get(), name))) return false;
  }
  for (const char* name : kAttributes) {
    const Ref own = Ref::steal(PyObject_GetAttrString(state.handler_type.get(), name));
    if (!matches(name, own.get())) return false;
  }
  return true;
}

const HandlerTraits& traits_of(ModuleState& state, PyTypeObject* type) {
  if (const HandlerTraits* known = state.handler_types.find(type)) return *known;
  auto* const base = reinterpret_cast<PyTypeObject*>(state.handler_type.get());
  const bool is_ours = PyType_IsSubtype(type, base) != 0;
  return state.handler_types.keep(type, {is_ours, is_ours && has_own_methods(state, type)});
}

bool is_customised(HandlerObject* handler) {
  const Ref dict = Ref::steal(PyObject_GenericGetDict(object_of(handler), nullptr));
  PyErr_Clear();
  return dict && std::any_of(std::begin(kMethods), std::end(kMethods), [&dict](const char* name) {
           return PyDict_GetItemString(dict.get(), name) != nullptr;
         });
}

bool has_no_filters(const HandlerObject* handler) {
  return handler->filters && PyList_CheckExact(handler->filters) &&
         PyList_GET_SIZE(handler->filters) == 0;
}

// ---- methods

PyObject* handler_handle(PyObject* self, PyObject* record) {
  ModuleState& state = *module_state();
  HandlerObject* const handler = self_of(self);
  ++(BuiltRecord::is(record) ? handler->paths.record_built : handler->paths.fallback);
  if (!takes_the_short_way(state, handler, traits_of(state, Py_TYPE(self)))) {
    return PyObject_CallMethodOneArg(self, state.handle_customised.get(), record);
  }
  PyObject* const core_object = Py_NewRef(handler->core);
  PyObject* taken = nullptr;
  try {
    Core* const core = core_of(core_object);
    Encoded encoded;
    const bool well = core && encode_record(state, *core, record, Py_None, Py_None, encoded);
    if (core) taken = hand_over(*core, std::move(encoded), well);
  } catch (const std::bad_alloc&) {
    PyErr_NoMemory();
  }
  const bool raised = taken == nullptr;
  Py_XDECREF(taken);
  const bool handled = !raised || handle_error(handler, record);
  Py_DECREF(core_object);
  if (!handled) return nullptr;
#if PY_VERSION_HEX >= 0x030C0000
  return Py_NewRef(record);
#else
  Py_RETURN_TRUE;
#endif
}

PyObject* handler_paths(PyObject* self, PyObject*) {
  const PathCounts& paths = self_of(self)->paths;
  return Py_BuildValue("{s:K,s:K,s:K}", "fast", paths.fast, "record_built", paths.record_built,
                       "fallback", paths.fallback);
}

// Any attribute that is set may stand for a method.
int handler_setattro(PyObject* self, PyObject* name, PyObject* value) {
  self_of(self)->is_examined = false;
  return PyObject_GenericSetAttr(self, name, value);
}

int handler_traverse(PyObject* self, visitproc visit, void* arg) {
  HandlerObject* const handler = self_of(self);
  Py_VISIT(Py_TYPE(self));
  Py_VISIT(handler->core);
  Py_VISIT(handler->level);
  Py_VISIT(handler->filters);
  Py_VISIT(handler->formatter);
  Py_VISIT(handler->lock);
  return 0;
}

int handler_clear(PyObject* self) {
  HandlerObject* const handler = self_of(self);
  Py_CLEAR(handler->core);
  Py_CLEAR(handler->level);
  Py_CLEAR(handler->filters);
  Py_CLEAR(handler->formatter);
  Py_CLEAR(handler->lock);
  return 0;
}

void handler_dealloc(PyObject* self) {
  PyObject_GC_UnTrack(self);
  handler_clear(self);
  PyTypeObject* const type = Py_TYPE(self);
  type->tp_free(self);
  Py_DECREF(type);
}

PyMethodDef kMethodTable[] = {
    {"handle", handler_handle, METH_O, nullptr},
    {"_paths", handler_paths, METH_NOARGS, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

PyMemberDef kMembers[] = {
    {"_core", T_OBJECT_EX, offsetof(HandlerObject, core), 0, nullptr},
    {"level", T_OBJECT_EX, offsetof(HandlerObject, level), 0, nullptr},
    {"filters", T_OBJECT_EX, offsetof(HandlerObject, filters), 0, nullptr},
    {"formatter", T_OBJECT_EX, offsetof(HandlerObject, formatter), 0, nullptr},
    {"lock", T_OBJECT_EX, offsetof(HandlerObject, lock), 0, nullptr},
    {nullptr, 0, 0, 0, nullptr},
};

template <typename Function>
void* slot(Function* function) {
  return reinterpret_cast<void*>(function);
}

}  // namespace

HandlerObject* as_handler(ModuleState& state, PyObject* object, HandlerTraits& traits) {
  traits = traits_of(state, Py_TYPE(object));
  return traits.is_ours ? self_of(object) : nullptr;
}

bool takes_the_short_way(const ModuleState& state, HandlerObject* handler,
                         const HandlerTraits& traits) {
  if (!traits.has_own_methods) return false;
  if (!handler->is_examined) {
    handler->is_customised = is_customised(handler);
    handler->is_examined = true;
  }
  return !handler->is_customised && has_no_filters(handler) && handler->formatter == Py_None &&
         handler->lock == Py_None && handler->core &&
         reinterpret_cast<PyObject*>(Py_TYPE(handler->core)) == state.core_type.get();
}

// handleError() looks for the frames of the log call in the traceback, which is empty where no
// Python function was passed on the way.
bool handle_error(HandlerObject* handler, PyObject* record) {
  if (!PyErr_ExceptionMatches(PyExc_Exception)) return false;
  if (PyFrameObject* const frame = PyEval_GetFrame()) PyTraceBack_Here(frame);
  PyObject* outer_type = nullptr;
  PyObject* outer_value = nullptr;
  PyObject* outer_traceback = nullptr;
  PyErr_GetExcInfo(&outer_type, &outer_value, &outer_traceback);
  PyObject* type = nullptr;
  PyObject* value = nullptr;
  PyObject* traceback = nullptr;
  PyErr_Fetch(&type, &value, &traceback);
  PyErr_NormalizeException(&type, &value, &traceback);
  if (traceback) PyException_SetTraceback(value, traceback);
  PyErr_SetExcInfo(type, value, traceback);
  const Ref result =
      Ref::steal(PyObject_CallMethod(object_of(handler), "handleError", "O", record));
  PyErr_SetExcInfo(outer_type, outer_value, outer_traceback);
  return static_cast<bool>(result);
}

PyObject* create_handler_type(PyObject* module) {
  PyType_Slot slots[] = {
      {Py_tp_setattro, slot(handler_setattro)},
      {Py_tp_traverse, slot(handler_traverse)},
      {Py_tp_clear, slot(handler_clear)},
      {Py_tp_dealloc, slot(handler_dealloc)},
      {Py_tp_methods, kMethodTable},
      {Py_tp_members, kMembers},
      {0, nullptr},
  };
  PyType_Spec spec = {
      .name = "log_aggregator_handler._core.HandlerBase",
      .basicsize = sizeof(HandlerObject),
      .itemsize = 0,
      .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
      .slots = slots,
  };
  return PyType_FromModuleAndSpec(module, &spec, nullptr);
}

}  // namespace log_aggregator::python
