// The extension module log_aggregator_handler._core: the type Core, basic_auth(), traceback_stats()
// and __version__.
//
// It works in the main interpreter only, and says so to others: the core's worker could not tell
// which interpreter a callable belongs to.

#include <memory>

#include "log_aggregator/options.h"
#include "python/binding/core.h"
#include "python/binding/handler_base.h"
#include "python/binding/module_state.h"

namespace log_aggregator::python {
namespace {

// Made at the first import and never unmade: methods of logging.Logger may outlive the module, and
// its second import has to find them.
ModuleState* the_state = nullptr;

ModuleState** state_of(PyObject* module) {
  return static_cast<ModuleState**>(PyModule_GetState(module));
}

PyObject* module_basic_auth(PyObject*, PyObject* args) {
  const char* user = nullptr;
  const char* password = nullptr;
  Py_ssize_t user_size = 0;
  Py_ssize_t password_size = 0;
  if (!PyArg_ParseTuple(args, "s#s#", &user, &user_size, &password, &password_size)) {
    return nullptr;
  }
  const Header header = basic_auth({user, static_cast<std::size_t>(user_size)},
                                   {password, static_cast<std::size_t>(password_size)});
  return Py_BuildValue("(s#s#)", header.name.data(), static_cast<Py_ssize_t>(header.name.size()),
                       header.value.data(), static_cast<Py_ssize_t>(header.value.size()));
}

PyObject* module_traceback_stats(PyObject* module, PyObject*) {
  const auto stats = (*state_of(module))->attributes.tracebacks().stats();
  return Py_BuildValue(
      "{s:K,s:K,s:K,s:n}", "formatted", static_cast<unsigned long long>(stats.formatted), "left",
      static_cast<unsigned long long>(stats.left), "rendered",
      static_cast<unsigned long long>(stats.rendered), "kept", static_cast<Py_ssize_t>(stats.kept));
}

int module_exec(PyObject* module) {
  if (PyInterpreterState_Get() != PyInterpreterState_Main()) {
    PyErr_SetString(PyExc_ImportError,
                    "log_aggregator_handler works in the main interpreter only, not in a "
                    "sub-interpreter");
    return -1;
  }
  ModuleState** const state = state_of(module);
  if (!the_state) {
    auto made = std::make_unique<ModuleState>();
    if (!made->load()) return -1;
    the_state = made.release();
  }
  *state = the_state;
  Ref& core_type = (*state)->core_type;
  Ref& handler_type = (*state)->handler_type;
  core_type = Ref::steal(create_core_type(module));
  handler_type = Ref::steal(create_handler_type(module));
  if (!core_type || PyModule_AddObjectRef(module, "Core", core_type.get()) < 0) return -1;
  if (!handler_type || PyModule_AddObjectRef(module, "HandlerBase", handler_type.get()) < 0) {
    return -1;
  }
  return PyModule_AddStringConstant(module, "__version__", LOG_AGGREGATOR_VERSION);
}

PyObject* module_register_methods(PyObject* module, PyObject* methods) {
  ModuleState& state = **state_of(module);
  state.handler_methods = Ref::share(methods);
  state.handler_types = {};
  Py_RETURN_NONE;
}

PyObject* module_accelerate(PyObject* module, PyObject*) {
  ModuleState& state = **state_of(module);
  if (!state.accelerator.turn_on(state)) return nullptr;
  Py_RETURN_NONE;
}

PyObject* module_decelerate(PyObject* module, PyObject*) {
  ModuleState& state = **state_of(module);
  if (!state.accelerator.turn_off(state)) return nullptr;
  Py_RETURN_NONE;
}

PyMethodDef kFunctions[] = {
    {"accelerate", module_accelerate, METH_NOARGS, nullptr},
    {"decelerate", module_decelerate, METH_NOARGS, nullptr},
    {"register_methods", module_register_methods, METH_O, nullptr},
    {"basic_auth", module_basic_auth, METH_VARARGS, nullptr},
    {"traceback_stats", module_traceback_stats, METH_NOARGS, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

PyModuleDef_Slot kSlots[] = {
    {Py_mod_exec, reinterpret_cast<void*>(module_exec)},
    {0, nullptr},
};

PyModuleDef kModule = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "log_aggregator_handler._core",
    .m_doc = nullptr,
    .m_size = sizeof(ModuleState*),
    .m_methods = kFunctions,
    .m_slots = kSlots,
    .m_traverse = nullptr,
    .m_clear = nullptr,
    .m_free = nullptr,
};

}  // namespace

bool ModuleState::load() {
  handle_customised = Ref::steal(PyUnicode_InternFromString("_handle_customised"));
  exc_info_function = Ref::share(PySys_GetObject("exc_info"));
  return handle_customised && exc_info_function && names.load() && attributes.load() &&
         logging.load() && call_sites.load(logging.source_file()) && identities.load() &&
         records.load(logging);
}

ModuleState& module_state(PyTypeObject* type) {
  return **static_cast<ModuleState**>(PyType_GetModuleState(type));
}

ModuleState* module_state() { return the_state; }

}  // namespace log_aggregator::python

PyMODINIT_FUNC PyInit__core() { return PyModuleDef_Init(&log_aggregator::python::kModule); }
