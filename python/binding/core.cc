#include "python/binding/core.h"

#include <structmember.h>

#include <chrono>
#include <cstddef>
#include <exception>
#include <memory>
#include <new>
#include <optional>
#include <thread>
#include <vector>

#include "log_aggregator/handler.h"
#include "python/binding/callbacks.h"
#include "python/binding/capsule.h"
#include "python/binding/emit.h"
#include "python/binding/gil.h"
#include "python/binding/module_state.h"
#include "python/binding/options.h"

namespace log_aggregator::python {
namespace {

constexpr std::size_t kMaxIdleWriters = 8;

struct CoreObject {
  PyObject ob_base;
  Core* core;  // null until __init__ is through
  PyObject* weak_references;
};

CoreObject* as_object(PyObject* self) { return reinterpret_cast<CoreObject*>(self); }

void set_error(const Status& status) {
  PyObject* type = PyExc_RuntimeError;
  if (status.code() == StatusCode::invalid_argument) type = PyExc_ValueError;
  if (status.code() == StatusCode::unavailable) type = PyExc_OSError;
  if (status.code() == StatusCode::out_of_memory) type = PyExc_MemoryError;
  PyErr_SetString(type, status.message().c_str());
}

// ---- life

int core_init(PyObject* self, PyObject* args, PyObject* kwargs) {
  if (PyTuple_GET_SIZE(args) != 0) {
    PyErr_SetString(PyExc_TypeError, "Core() takes keyword arguments only");
    return -1;
  }
  if (as_object(self)->core) {
    PyErr_SetString(PyExc_RuntimeError, "Core.__init__ was called twice");
    return -1;
  }
  Arguments arguments;
  if (!read_arguments(kwargs, arguments)) return -1;
  auto core = std::make_unique<Core>();
  auto handler = Handler::create(std::move(arguments.options));
  if (!handler.ok()) {
    set_error(handler.status());
    return -1;
  }
  core->handler = std::move(handler.value());
  core->callbacks = std::move(arguments.callbacks);
  core->level_map = std::move(arguments.level_map);
  as_object(self)->core = core.release();
  return 0;
}

// The handler waits for its worker to end. Where that worker is who found the last reference gone,
// within a callable of ours, another thread has to wait.
void destroy_handler(Core& core) {
  if (!core.callbacks->is_inside()) {
    without_gil([&core] {
      core.handler.reset();
      return true;
    });
    return;
  }
  try {
    std::thread([handler = std::move(core.handler)]() mutable { handler.reset(); }).detach();
  } catch (const std::exception&) {
    (void)core.handler.release();  // no thread to be had: the handler stays as it is
  }
}

// Runs before the garbage collector clears anything, so that the last records of a forgotten
// handler still find its auth callable.
void core_finalize(PyObject* self) {
  Core* const core = as_object(self)->core;
  if (!core || core->callbacks->is_inside()) return;
  PyObject* type = nullptr;
  PyObject* value = nullptr;
  PyObject* traceback = nullptr;
  PyErr_Fetch(&type, &value, &traceback);
  without_gil([core] { return core->handler->close(); });
  PyErr_Restore(type, value, traceback);
}

int core_traverse(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  if (const Core* core = as_object(self)->core) {
    Py_VISIT(core->level_map.get());
    return core->callbacks->traverse(visit, arg);
  }
  return 0;
}

int core_clear(PyObject* self) {
  if (Core* core = as_object(self)->core) core->callbacks->clear();
  return 0;
}

void core_dealloc(PyObject* self) {
  if (PyObject_CallFinalizerFromDealloc(self) < 0) return;  // somebody holds it again
  PyObject_GC_UnTrack(self);
  if (as_object(self)->weak_references) PyObject_ClearWeakRefs(self);
  if (Core* core = std::exchange(as_object(self)->core, nullptr)) {
    destroy_handler(*core);
    core->callbacks->clear();
    delete core;
  }
  PyTypeObject* const type = Py_TYPE(self);
  type->tp_free(self);
  Py_DECREF(type);
}

// ---- logging

bool check_arguments(const char* method, Py_ssize_t expected, Py_ssize_t given) {
  if (expected == given) return true;
  PyErr_Format(PyExc_TypeError, "%s() takes %zd arguments (%zd given)", method, expected, given);
  return false;
}

// What all of them do with a record that `encode` has encoded.
template <typename Encode>
PyObject* emit(PyObject* self, const Encode& encode) {
  Core* const core = core_of(self);
  if (!core) return nullptr;
  try {
    Encoded encoded;
    const bool well = encode(module_state(Py_TYPE(self)), *core, encoded);
    return hand_over(*core, std::move(encoded), well);
  } catch (const std::bad_alloc&) {
    return PyErr_NoMemory();
  }
}

PyObject* core_emit(PyObject* self, PyObject* const* args, Py_ssize_t count) {
  if (!check_arguments("emit", 3, count)) return nullptr;
  return emit(self, [args](ModuleState& state, Core& core, Encoded& encoded) {
    return encode_record(state, core, args[0], args[1], args[2], encoded);
  });
}

PyObject* core_emit_unformatted(PyObject* self, PyObject* const* args, Py_ssize_t count) {
  if (!check_arguments("emit_unformatted", 2, count)) return nullptr;
  return emit(self, [args](ModuleState& state, Core& core, Encoded& encoded) {
    return encode_unformatted(state, core, args[0], args[1], encoded);
  });
}

PyObject* core_emit_custom(PyObject* self, PyObject* const* args, Py_ssize_t count) {
  if (!check_arguments("emit_custom", 2, count)) return nullptr;
  if (!PyDict_Check(args[0])) {
    PyErr_Format(PyExc_TypeError, "format_record() must return a dict, not %.100s",
                 Py_TYPE(args[0])->tp_name);
    return nullptr;
  }
  return emit(self, [args](ModuleState& state, Core& core, Encoded& encoded) {
    return encode_custom(state, core, args[0], args[1], encoded);
  });
}

PyObject* core_encode(PyObject* self, PyObject* const* args, Py_ssize_t count) {
  Core* const core = core_of(self);
  if (!core || !check_arguments("encode", 3, count)) return nullptr;
  try {
    Encoded encoded;
    if (!encode_record(module_state(Py_TYPE(self)), *core, args[0], args[1], args[2], encoded)) {
      return nullptr;
    }
    PyObject* const json = PyBytes_FromStringAndSize(encoded.json.data(),
                                                     static_cast<Py_ssize_t>(encoded.json.size()));
    core->give_back(std::move(encoded.writer), encoded.grew);
    return json;
  } catch (const std::bad_alloc&) {
    return PyErr_NoMemory();
  }
}

// ---- the rest

bool read_timeout(PyObject* argument, std::optional<std::chrono::milliseconds>& timeout) {
  if (argument == Py_None) return true;
  std::chrono::milliseconds duration{0};
  if (!read_duration(argument, duration)) return false;
  timeout = std::max(duration, std::chrono::milliseconds(0));
  return true;
}

PyObject* core_flush(PyObject* self, PyObject* argument) {
  Core* const core = core_of(self);
  std::optional<std::chrono::milliseconds> timeout;
  if (!core || !read_timeout(argument, timeout)) return nullptr;
  const bool done = without_gil([&] { return core->handler->flush(timeout); });
  return PyBool_FromLong(done ? 1 : 0);
}

PyObject* core_close(PyObject* self, PyObject* argument) {
  Core* const core = core_of(self);
  std::optional<std::chrono::milliseconds> timeout;
  if (!core || !read_timeout(argument, timeout)) return nullptr;
  const bool done = without_gil([&] { return core->handler->close(timeout); });
  return PyBool_FromLong(done ? 1 : 0);
}

PyObject* core_check_connection(PyObject* self, PyObject*) {
  Core* const core = core_of(self);
  if (!core) return nullptr;
  const bool healthy = without_gil([core] { return core->handler->check_connection(); });
  return PyBool_FromLong(healthy ? 1 : 0);
}

PyObject* core_detach_callbacks(PyObject* self, PyObject* argument) {
  Core* const core = core_of(self);
  std::optional<std::chrono::milliseconds> timeout;
  if (!core || !read_timeout(argument, timeout)) return nullptr;
  const bool left = without_gil([core, timeout] {
    const auto deadline =
        std::chrono::steady_clock::now() + timeout.value_or(core->handler->options().close_timeout);
    core->callbacks->detach();
    core->handler->detach_callbacks(timeout);
    return core->callbacks->wait_until_left(deadline);
  });
  return PyBool_FromLong(left ? 1 : 0);
}

// Takes over `value`.
bool set_item(PyObject* dict, std::string_view name, PyObject* value) {
  const Ref own = Ref::steal(value);
  return own && PyDict_SetItemString(dict, std::string(name).c_str(), own.get()) == 0;
}

PyObject* dropped_dict(const Stats& stats) {
  Ref dict = Ref::steal(PyDict_New());
  for (std::size_t i = 0; dict && i < kDropCauses; ++i) {
    const auto cause = static_cast<DropCause>(i);
    PyObject* const count = PyLong_FromUnsignedLongLong(stats.dropped_for(cause));
    if (!set_item(dict.get(), drop_cause_name(cause), count)) return nullptr;
  }
  return dict.release();
}

PyObject* dropped_by_level_dict(const Stats& stats) {
  Ref dict = Ref::steal(PyDict_New());
  for (std::size_t i = 0; dict && i < kDropLevels; ++i) {
    std::uint64_t records = 0;
    for (const LevelCounts& cause : stats.dropped) records += cause[i];
    PyObject* const count = PyLong_FromUnsignedLongLong(records);
    if (!set_item(dict.get(), drop_level_name(i), count)) return nullptr;
  }
  return dict.release();
}

PyObject* text_or_none(const std::string& text) {
  if (text.empty()) Py_RETURN_NONE;
  return PyUnicode_DecodeUTF8(text.data(), static_cast<Py_ssize_t>(text.size()), "replace");
}

PyObject* core_stats(PyObject* self, PyObject*) {
  const Core* const core = core_of(self);
  if (!core) return nullptr;
  const Stats stats = core->handler->stats();
  const auto number = [](std::uint64_t value) { return PyLong_FromUnsignedLongLong(value); };
  Ref dict = Ref::steal(PyDict_New());
  const bool complete =
      dict && set_item(dict.get(), "accepted", number(stats.accepted)) &&
      set_item(dict.get(), "delivered", number(stats.delivered)) &&
      set_item(dict.get(), "dropped", dropped_dict(stats)) &&
      set_item(dict.get(), "dropped_by_level", dropped_by_level_dict(stats)) &&
      set_item(dict.get(), "pending", number(stats.pending)) &&
      set_item(dict.get(), "pending_bytes", number(stats.pending_bytes)) &&
      set_item(dict.get(), "durable", number(stats.durable)) &&
      set_item(dict.get(), "adopted_delivered", number(stats.adopted_delivered)) &&
      set_item(dict.get(), "adopted_dropped", number(stats.adopted_dropped)) &&
      set_item(dict.get(), "retries", number(stats.retries)) &&
      set_item(dict.get(), "batches", number(stats.batches)) &&
      set_item(dict.get(), "bytes_sent", number(stats.bytes_sent)) &&
      set_item(dict.get(), "last_error", text_or_none(stats.last_error));
  return complete ? dict.release() : nullptr;
}

PyObject* core_api_endpoint(PyObject* self, void*) {
  const Core* const core = core_of(self);
  if (!core) return nullptr;
  const std::string& url = core->handler->options().api_endpoint;
  return PyUnicode_DecodeUTF8(url.data(), static_cast<Py_ssize_t>(url.size()), "replace");
}

// ---- the type

PyCFunction fast_call(PyObject* (*function)(PyObject*, PyObject* const*, Py_ssize_t)) {
  return reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(function));
}

PyMethodDef kMethods[] = {
    {"emit", fast_call(core_emit), METH_FASTCALL, nullptr},
    {"emit_unformatted", fast_call(core_emit_unformatted), METH_FASTCALL, nullptr},
    {"emit_custom", fast_call(core_emit_custom), METH_FASTCALL, nullptr},
    {"encode", fast_call(core_encode), METH_FASTCALL, nullptr},
    {"flush", core_flush, METH_O, nullptr},
    {"close", core_close, METH_O, nullptr},
    {"check_connection", core_check_connection, METH_NOARGS, nullptr},
    {"detach_callbacks", core_detach_callbacks, METH_O, nullptr},
    {"capsule", make_capsule, METH_O, nullptr},
    {"stats", core_stats, METH_NOARGS, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

PyGetSetDef kProperties[] = {
    {"api_endpoint", core_api_endpoint, nullptr, nullptr, nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

PyMemberDef kMembers[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(CoreObject, weak_references), READONLY, nullptr},
    {nullptr, 0, 0, 0, nullptr},
};

template <typename Function>
void* slot(Function* function) {
  return reinterpret_cast<void*>(function);
}

}  // namespace

std::unique_ptr<RecordWriter> Core::take_writer() {
  if (idle_writers_.empty()) {
    return std::make_unique<RecordWriter>(handler->record_prefix(),
                                          handler->options().max_record_bytes);
  }
  std::unique_ptr<RecordWriter> writer = std::move(idle_writers_.back());
  idle_writers_.pop_back();
  return writer;
}

void Core::give_back(std::unique_ptr<RecordWriter> writer, bool grew) {
  if (!grew && idle_writers_.size() < kMaxIdleWriters) idle_writers_.push_back(std::move(writer));
}

Core* core_of(PyObject* object) {
  Core* const core = as_object(object)->core;
  if (!core) PyErr_SetString(PyExc_RuntimeError, "Core.__init__ was not called");
  return core;
}

PyObject* create_core_type(PyObject* module) {
  PyType_Slot slots[] = {
      {Py_tp_init, slot(core_init)},
      {Py_tp_finalize, slot(core_finalize)},
      {Py_tp_traverse, slot(core_traverse)},
      {Py_tp_clear, slot(core_clear)},
      {Py_tp_dealloc, slot(core_dealloc)},
      {Py_tp_methods, kMethods},
      {Py_tp_getset, kProperties},
      {Py_tp_members, kMembers},
      {0, nullptr},
  };
  PyType_Spec spec = {
      .name = "log_aggregator_handler._core.Core",
      .basicsize = sizeof(CoreObject),
      .itemsize = 0,
      .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
      .slots = slots,
  };
  return PyType_FromModuleAndSpec(module, &spec, nullptr);
}

}  // namespace log_aggregator::python
