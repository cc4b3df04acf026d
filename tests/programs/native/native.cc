// The module `native`: an extension that logs through Python's handlers in every way that
// test_extension.py asks for. A handler is joined once and known by its number.

#include <log_aggregator/python.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <latch>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {

using log_aggregator::DropCause;
using log_aggregator::field;
using log_aggregator::Handler;
using log_aggregator::Level;

// Never destroyed: threads log until the process is gone.
auto& joined = *new std::vector<std::unique_ptr<Handler>>;
std::vector<std::thread> threads;

PyObject* failed(const log_aggregator::Status& status) {
  if (status.code() == log_aggregator::StatusCode::out_of_memory) return PyErr_NoMemory();
  PyErr_SetString(PyExc_ValueError, status.message().c_str());
  return nullptr;
}

PyObject* keep(log_aggregator::Result<std::unique_ptr<Handler>> made) {
  if (!made.ok()) return failed(made.status());
  joined.push_back(std::move(made.value()));
  return PyLong_FromSize_t(joined.size() - 1);
}

// join(handler, logger) -> number
PyObject* join(PyObject*, PyObject* args) {
  PyObject* handler = nullptr;
  const char* logger = nullptr;
  if (!PyArg_ParseTuple(args, "Os", &handler, &logger)) return nullptr;
  return keep(log_aggregator::handler_of(handler, logger));
}

// join_newer(handler): as if the handler were of a release to come that nobody knows yet.
PyObject* join_newer(PyObject*, PyObject* handler) {
  PyObject* const capsule = PyObject_GetAttrString(handler, "capsule");
  if (!capsule) return nullptr;
  auto functions = *static_cast<const log_aggregator::HandlerFunctions*>(
      PyCapsule_GetPointer(capsule, LOG_AGGREGATOR_HANDLER_FUNCTIONS_NAME));
  ++functions.version;
  PyObject* const result = keep(Handler::join(functions));
  Py_DECREF(capsule);
  return result;
}

// A capsule that is nobody's handler.
PyObject* foreign_capsule(PyObject*, PyObject*) {
  static int nothing = 0;
  return PyCapsule_New(&nothing, "foreign", nullptr);
}

// log(number, level, message, i=0): with the interpreter lock. Whether it was taken.
PyObject* log(PyObject*, PyObject* args) {
  Py_ssize_t number = 0;
  int level = 0;
  const char* message = nullptr;
  long i = 0;
  if (!PyArg_ParseTuple(args, "nis|l", &number, &level, &message, &i)) return nullptr;
  return PyBool_FromLong(
      joined[number]->log(static_cast<Level>(level), message, field("i", i)) ? 1 : 0);
}

// The same without the interpreter lock.
PyObject* log_unlocked(PyObject*, PyObject* args) {
  Py_ssize_t number = 0;
  int level = 0;
  const char* message = nullptr;
  if (!PyArg_ParseTuple(args, "nis", &number, &level, &message)) return nullptr;
  bool taken = false;
  Py_BEGIN_ALLOW_THREADS;
  taken = joined[number]->log(static_cast<Level>(level), message);
  Py_END_ALLOW_THREADS;
  return PyBool_FromLong(taken ? 1 : 0);
}

// start(number, threads, count): threads that Python does not know log that many records each.
PyObject* start(PyObject*, PyObject* args) {
  Py_ssize_t number = 0;
  int wanted = 0;
  long count = 0;
  if (!PyArg_ParseTuple(args, "nil", &number, &wanted, &count)) return nullptr;
  for (int thread = 0; thread < wanted; ++thread) {
    threads.emplace_back([handler = joined[number].get(), thread, count] {
      const std::string name = "native-" + std::to_string(thread);
      log_aggregator::set_thread_name(name);
      for (long i = 0; i < count; ++i) handler->log(Level::info, name, field("i", i));
    });
  }
  Py_RETURN_NONE;
}

// log_until_refused(number, threads): as start(), but until a call returns false. Each thread has
// logged its first record when it returns.
PyObject* log_until_refused(PyObject*, PyObject* args) {
  Py_ssize_t number = 0;
  int wanted = 0;
  if (!PyArg_ParseTuple(args, "ni", &number, &wanted)) return nullptr;
  const auto begun = std::make_shared<std::latch>(wanted);
  for (int thread = 0; thread < wanted; ++thread) {
    threads.emplace_back([handler = joined[number].get(), thread, begun] {
      const std::string name = "native-" + std::to_string(thread);
      bool taken = handler->log(Level::info, name, field("i", 0));
      begun->count_down();
      for (long i = 1; taken; ++i) taken = handler->log(Level::info, name, field("i", i));
    });
  }
  Py_BEGIN_ALLOW_THREADS;
  begun->wait();
  Py_END_ALLOW_THREADS;
  Py_RETURN_NONE;
}

PyObject* finish(PyObject*, PyObject*) {
  Py_BEGIN_ALLOW_THREADS;
  for (std::thread& thread : threads) thread.join();
  threads.clear();
  Py_END_ALLOW_THREADS;
  Py_RETURN_NONE;
}

// log_for_ever(number, threads): until the process ends. Each has logged its first record when it
// returns.
PyObject* log_for_ever(PyObject*, PyObject* args) {
  Py_ssize_t number = 0;
  int wanted = 0;
  if (!PyArg_ParseTuple(args, "ni", &number, &wanted)) return nullptr;
  const auto begun = std::make_shared<std::atomic<int>>(0);
  for (int thread = 0; thread < wanted; ++thread) {
    std::thread([handler = joined[number].get(), begun, wanted] {
      handler->log(Level::info, "first");
      begun->fetch_add(1);
      while (begun->load() < wanted) std::this_thread::yield();
      while (true) handler->log(Level::info, "for ever");
    }).detach();
  }
  Py_BEGIN_ALLOW_THREADS;
  while (begun->load() < wanted) std::this_thread::yield();
  Py_END_ALLOW_THREADS;
  Py_RETURN_NONE;
}

// at_exit(number, answers): to be used, and let go, when the interpreter is gone. The process ends
// with 7 where the handler then does anything but count what it is given, or check_connection()
// returns anything but `answers`.
PyObject* at_exit(PyObject*, PyObject* args) {
  static Py_ssize_t number = 0;
  static int answers = 0;
  if (!PyArg_ParseTuple(args, "np", &number, &answers)) return nullptr;
  const int refused = Py_AtExit([] {
    std::unique_ptr<Handler>& handler = joined[number];
    const std::uint64_t before = handler->stats().dropped_for(DropCause::closed);
    const bool as_expected = !handler->log(Level::info, "without an interpreter") &&
                             handler->stats().dropped_for(DropCause::closed) == before + 1 &&
                             !handler->flush() && handler->check_connection() == (answers != 0);
    handler.reset();
    if (!as_expected) ::_exit(7);
  });
  return PyBool_FromLong(refused == 0 ? 1 : 0);
}

// let_go(number): with the interpreter lock.
PyObject* let_go(PyObject*, PyObject* number) {
  joined[PyLong_AsSsize_t(number)].reset();
  Py_RETURN_NONE;
}

// let_go_elsewhere(number): on a thread that Python does not know, while this one has the lock.
PyObject* let_go_elsewhere(PyObject*, PyObject* number) {
  std::thread([handler = std::move(joined[PyLong_AsSsize_t(number)])] {}).join();
  Py_RETURN_NONE;
}

PyObject* flush(PyObject*, PyObject* number) {
  return PyBool_FromLong(joined[PyLong_AsSsize_t(number)]->flush() ? 1 : 0);
}

PyObject* check_connection(PyObject*, PyObject* number) {
  return PyBool_FromLong(joined[PyLong_AsSsize_t(number)]->check_connection() ? 1 : 0);
}

// stats(number) -> (accepted, delivered, closed)
PyObject* stats(PyObject*, PyObject* number) {
  const log_aggregator::Stats stats = joined[PyLong_AsSsize_t(number)]->stats();
  return Py_BuildValue("(KKK)", static_cast<unsigned long long>(stats.accepted),
                       static_cast<unsigned long long>(stats.delivered),
                       static_cast<unsigned long long>(stats.dropped_for(DropCause::closed)));
}

PyMethodDef methods[] = {
    {"join", join, METH_VARARGS, nullptr},
    {"join_newer", join_newer, METH_O, nullptr},
    {"foreign_capsule", foreign_capsule, METH_NOARGS, nullptr},
    {"log", log, METH_VARARGS, nullptr},
    {"log_unlocked", log_unlocked, METH_VARARGS, nullptr},
    {"start", start, METH_VARARGS, nullptr},
    {"log_until_refused", log_until_refused, METH_VARARGS, nullptr},
    {"finish", finish, METH_NOARGS, nullptr},
    {"log_for_ever", log_for_ever, METH_VARARGS, nullptr},
    {"at_exit", at_exit, METH_VARARGS, nullptr},
    {"let_go", let_go, METH_O, nullptr},
    {"let_go_elsewhere", let_go_elsewhere, METH_O, nullptr},
    {"flush", flush, METH_O, nullptr},
    {"check_connection", check_connection, METH_O, nullptr},
    {"stats", stats, METH_O, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

PyModuleDef module = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "native",
    .m_doc = nullptr,
    .m_size = -1,
    .m_methods = methods,
    .m_slots = nullptr,
    .m_traverse = nullptr,
    .m_clear = nullptr,
    .m_free = nullptr,
};

}  // namespace

PyMODINIT_FUNC PyInit_native() { return PyModule_Create(&module); }
