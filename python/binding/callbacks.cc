#include "python/binding/callbacks.h"

#include <string>
#include <thread>
#include <utility>

#include "python/binding/gil.h"
#include "python/binding/text.h"

namespace log_aggregator::python {
namespace {

// Whose callable the thread is in.
thread_local const Callbacks* current = nullptr;

// An error in a callable has nowhere to go; Ctrl-C, which found the main thread in one, has: it is
// raised again as soon as the interpreter runs on. Returns the name of its type. What its frames
// hold goes with it, and may run Python.
std::string swallow_error() {
  if (PyErr_ExceptionMatches(PyExc_KeyboardInterrupt)) PyErr_SetInterrupt();
  std::string name(short_type_name(reinterpret_cast<PyTypeObject*>(PyErr_Occurred())));
  never_unwound([] { PyErr_Clear(); });
  return name;
}

// A thread that is refused the interpreter lock in what this runs must stay in here: no Ref of the
// frames around may be destroyed without the lock.
PyObject* call(PyObject* callable, PyObject* argument = nullptr) {
  return never_unwound([=] { return PyObject_CallFunctionObjArgs(callable, argument, nullptr); });
}

Result<Headers> call_auth(const Ref& callable) {
  if (!callable) return Status::unavailable("the handler was collected as garbage");
  Headers headers;
  const Ref pairs = Ref::steal(call(callable.get()));
  if (pairs && read_headers(pairs.get(), headers)) return headers;
  return Status::unavailable("the auth callable raised " + swallow_error());
}

void call_report(PyObject* callable, std::string_view line) {
  const Ref text = Ref::steal(
      PyUnicode_DecodeUTF8(line.data(), static_cast<Py_ssize_t>(line.size()), "replace"));
  const Ref result = text ? Ref::steal(call(callable, text.get())) : Ref();
  if (!result) swallow_error();
}

void write_to_stderr(std::string_view line) {
  const std::string text = std::string(line) + '\n';
  if (write(STDERR_FILENO, text.data(), text.size()) < 0) return;  // nobody to tell
}

bool is_main_thread() { return gettid() == getpid(); }

}  // namespace

bool read_headers(PyObject* pairs, Headers& headers) {
  const Ref list = Ref::steal(PySequence_Fast(pairs, "headers must be (name, value) pairs"));
  if (!list) return false;
  for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(list.get()); ++i) {
    const char* name = nullptr;
    const char* value = nullptr;
    Py_ssize_t name_size = 0;
    Py_ssize_t value_size = 0;
    PyObject* const pair = PySequence_Fast_GET_ITEM(list.get(), i);
    if (!PyTuple_Check(pair)) {
      PyErr_SetString(PyExc_TypeError, "headers must be (name, value) pairs");
      return false;
    }
    if (!PyArg_ParseTuple(pair, "s#s#", &name, &name_size, &value, &value_size)) return false;
    headers.push_back({std::string(name, static_cast<std::size_t>(name_size)),
                       std::string(value, static_cast<std::size_t>(value_size))});
  }
  return true;
}

// For the main thread, which is the one that ends the interpreter.
bool is_there_an_interpreter() {
  return Py_IsInitialized() != 0 || PyGILState_GetThisThreadState() != nullptr;
}

// The main thread is let in as long as there is an interpreter and never waited for: it is the one
// that detaches.
std::optional<Callbacks::Visit> Callbacks::enter() {
  if (is_main_thread()) {
    if (!is_there_an_interpreter()) return std::nullopt;
    return 0;
  }
  const Visit visit = getpid();
  Inside before = inside_;
  Inside after;
  do {
    after = {visit, before.process == visit ? before.threads + 1 : 1};
  } while (!inside_.compare_exchange_weak(before, after));
  if (!detached_) return visit;
  leave(visit);
  return std::nullopt;
}

// Where a fork lies between, nobody counts on the visit any more.
void Callbacks::leave(Visit visit) {
  if (visit != getpid()) return;
  Inside before = inside_;
  while (!inside_.compare_exchange_weak(before, {visit, before.threads - 1})) {
  }
}

void Callbacks::detach() { detached_ = true; }

bool Callbacks::wait_until_left(std::chrono::steady_clock::time_point deadline) const {
  constexpr std::chrono::milliseconds kPause{1};
  while (true) {
    const Inside inside = inside_;
    if (inside.process != getpid() || inside.threads == 0) return true;
    if (std::chrono::steady_clock::now() >= deadline) return false;
    std::this_thread::sleep_for(kPause);
  }
}

// The core, which calls these two, must not be unwound: it would swallow that, which ends the
// process.
Result<Headers> Callbacks::auth() {
  const std::optional<Visit> visit = enter();
  if (!visit) return Status::unavailable("the interpreter is ending: auth cannot be asked");
  Result<Headers> headers = never_unwound([this] {
    const PyGILState_STATE state = PyGILState_Ensure();
    const Callbacks* const outer = std::exchange(current, this);
    Result<Headers> answer = call_auth(Ref(auth_));  // of our own: it may be cleared meanwhile
    current = outer;
    PyGILState_Release(state);
    return answer;
  });
  leave(*visit);
  return headers;
}

void Callbacks::report(std::string_view line) {
  const std::optional<Visit> visit = enter();
  if (!visit) return write_to_stderr(line);
  never_unwound([this, line] {
    const PyGILState_STATE state = PyGILState_Ensure();
    const Callbacks* const outer = std::exchange(current, this);
    if (const Ref callable = report_) call_report(callable.get(), line);
    current = outer;
    PyGILState_Release(state);
  });
  leave(*visit);
}

bool Callbacks::is_inside() const { return current == this; }

int Callbacks::traverse(visitproc visit, void* argument) {
  for (PyObject* callable : {auth_.get(), report_.get()}) {
    if (!callable) continue;
    if (const int result = visit(callable, argument)) return result;
  }
  return 0;
}

void Callbacks::clear() {
  auth_ = Ref();
  report_ = Ref();
}

}  // namespace log_aggregator::python
