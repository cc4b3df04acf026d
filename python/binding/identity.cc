#include "python/binding/identity.h"

#include <pthread.h>
#include <unistd.h>

#include <atomic>

#include "python/binding/dict_version.h"

namespace log_aggregator::python {
namespace {

// getpid() asks the system each time. Only a fork changes the answer.
std::atomic<long> process_id{0};

void forget_process_id() { process_id.store(0, std::memory_order_relaxed); }

long current_process_id() {
  long known = process_id.load(std::memory_order_relaxed);
  if (known == 0) {
    known = getpid();
    process_id.store(known, std::memory_order_relaxed);
  }
  return known;
}

Ref interned(const char* text) { return Ref::steal(PyUnicode_InternFromString(text)); }

// Borrowed, null where there is none; no error.
PyObject* item(PyObject* dict, const Ref& key) {
  PyObject* const value = PyDict_GetItemWithError(dict, key.get());
  if (!value) PyErr_Clear();
  return value;
}

// What logging does with errors here. Others stay set, KeyboardInterrupt for one.
void clear_exception() {
  if (PyErr_Occurred() && PyErr_ExceptionMatches(PyExc_Exception)) PyErr_Clear();
}

Ref weak_target(const Ref& reference) {
  if (!reference) return {};
#if PY_VERSION_HEX >= 0x030D0000
  PyObject* target = nullptr;
  PyWeakref_GetRef(reference.get(), &target);
  return Ref::steal(target);
#else
  PyObject* const target = PyWeakref_GetObject(reference.get());
  return target == Py_None ? Ref() : Ref::share(target);
#endif
}

}  // namespace

bool Identities::load() {
  pthread_atfork(nullptr, nullptr, forget_process_id);
  const Ref threading = Ref::steal(PyImport_ImportModule("threading"));
  if (!threading) return false;
  const Ref type = Ref::steal(PyObject_GetAttrString(threading.get(), "Thread"));
  current_thread_ = Ref::steal(PyObject_GetAttrString(threading.get(), "current_thread"));
  if (!type || !current_thread_) return false;
  name_property_ = Ref::steal(PyObject_GetAttrString(type.get(), "name"));
  name_ = interned("name");
  private_name_ = interned("_name");
  multiprocessing_ = interned("multiprocessing");
  current_process_ = interned("current_process");
  the_current_process_ = interned("_current_process");
  asyncio_ = interned("asyncio");
  current_task_ = interned("current_task");
  get_running_loop_ = interned("_get_running_loop");
  get_name_ = interned("get_name");
  return name_property_ && name_ && private_name_ && multiprocessing_ && current_process_ &&
         the_current_process_ && asyncio_ && current_task_ && get_running_loop_ && get_name_;
}

bool Identities::read(Identity& identity) {
  identity.process = current_process_id();
  identity.thread = PyThread_get_thread_ident();
  identity.thread_name = thread_name();
  if (!identity.thread_name) return false;
  identity.process_name = process_name();
  if (!PyErr_Occurred()) identity.task_name = task_name();
  return !PyErr_Occurred();
}

Ref Identities::thread_name() {
  if (process_ != current_process_id()) {
    threads_ = {};
    process_ = current_process_id();
  }
  const std::uint64_t state_id = PyThreadState_GetID(PyThreadState_Get());
  ThreadSlot& slot = threads_[state_id % threads_.size()];
  const Ref thread = slot.state_id == state_id ? weak_target(slot.reference) : Ref();
  const Ref dict = thread ? Ref::steal(PyObject_GenericGetDict(thread.get(), nullptr)) : Ref();
  if (dict && is_version(dict.get(), slot.dict_version)) return slot.name;
  if (PyObject* const name = dict ? item(dict.get(), private_name_) : nullptr) {
    slot.name = Ref::share(name);
    slot.dict_version = dict_version(dict.get());
    return slot.name;
  }
  return ask_for_thread_name(slot, state_id);
}

// As logging does it; the object is kept where its name is what Thread makes of it.
Ref Identities::ask_for_thread_name(ThreadSlot& slot, std::uint64_t state_id) {
  const Ref thread = Ref::steal(PyObject_CallNoArgs(current_thread_.get()));
  if (!thread) return {};
  const Ref property =
      Ref::steal(PyObject_GetAttr(reinterpret_cast<PyObject*>(Py_TYPE(thread.get())), name_.get()));
  if (property && property.get() == name_property_.get()) {
    slot.reference = Ref::steal(PyWeakref_NewRef(thread.get(), nullptr));
    slot.state_id = slot.reference ? state_id : 0;
  }
  PyErr_Clear();
  return Ref::steal(PyObject_GetAttr(thread.get(), name_.get()));
}

// sys.modules["multiprocessing"].current_process().name, without the two calls where the function
// is the one that multiprocessing itself has put there.
Ref Identities::process_name() {
  PyObject* const modules = PyImport_GetModuleDict();
  if (is_version(modules, modules_without_multiprocessing_)) return {};
  PyObject* const module = item(modules, multiprocessing_);
  if (!module) {
    modules_without_multiprocessing_ = dict_version(modules);
    return {};
  }
  const Ref function = Ref::steal(PyObject_GetAttr(module, current_process_.get()));
  if (!function) {
    PyErr_Clear();
    return {};
  }
  if (function.get() != known_function_.get() && PyFunction_Check(function.get()) &&
      item(PyFunction_GET_GLOBALS(function.get()), the_current_process_) != nullptr) {
    known_function_ = function;
  }
  Ref process;
  if (function.get() == known_function_.get()) {
    process = Ref::share(item(PyFunction_GET_GLOBALS(function.get()), the_current_process_));
  } else {
    process = Ref::steal(PyObject_CallNoArgs(function.get()));
  }
  Ref name = process ? Ref::steal(PyObject_GetAttr(process.get(), name_.get())) : Ref();
  clear_exception();
  return name;
}

// asyncio.current_task().get_name(), where a loop is running.
Ref Identities::task_name() {
#if PY_VERSION_HEX >= 0x030C0000
  PyObject* const module = item(PyImport_GetModuleDict(), asyncio_);
  if (!module) return {};
  const Ref running = Ref::steal(PyObject_GetAttr(module, get_running_loop_.get()));
  const Ref loop = running ? Ref::steal(PyObject_CallNoArgs(running.get())) : Ref();
  if (loop && loop.get() == Py_None) return {};
  const Ref current = Ref::steal(PyObject_GetAttr(module, current_task_.get()));
  const Ref task = current ? Ref::steal(PyObject_CallNoArgs(current.get())) : Ref();
  Ref name = task ? Ref::steal(PyObject_CallMethodNoArgs(task.get(), get_name_.get())) : Ref();
  clear_exception();
  return name;
#else
  return {};
#endif
}

}  // namespace log_aggregator::python
