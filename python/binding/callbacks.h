// Callbacks joins Options::auth and Options::report to Python callables.
//
// The core calls them on its worker or on a thread that waits in a call of ours, without the
// interpreter lock; they take it. Once detached, only the main thread is let into the interpreter,
// which is then about to end: another thread that asked for its lock would be lost. The Core object
// owns this together with the two functions in Options; the garbage collector sees the callables
// through traverse().

#pragma once

#include <unistd.h>

#include <atomic>
#include <chrono>
#include <optional>
#include <string_view>

#include "log_aggregator/options.h"
#include "log_aggregator/status.h"
#include "python/binding/reference.h"

namespace log_aggregator::python {

class Callbacks {
 public:
  // With the interpreter lock held; either callable may be null. `auth()` returns a list of
  // (name, value) pairs, `report(line)` nothing.
  Callbacks(PyObject* auth, PyObject* report)
      : auth_(Ref::share(auth)), report_(Ref::share(report)) {}

  // Without the interpreter lock.
  Result<Headers> auth();
  void report(std::string_view line);
  // From now on only the main thread is let in.
  void detach();
  // Whether no other thread is in a callable any more; waits for that until the deadline.
  bool wait_until_left(std::chrono::steady_clock::time_point deadline) const;

  // Whether the calling thread is in one of these callables.
  bool is_inside() const;

  // With the interpreter lock held: for the garbage collector and the owner's end.
  int traverse(visitproc visit, void* argument);
  void clear();

 private:
  // A fork leaves other threads behind in the callables that they were in.
  struct Inside {
    pid_t process = 0;
    int threads = 0;
  };
  // The process in which a thread was counted; 0: it was not.
  using Visit = pid_t;

  // What leave() is to be given back; nothing where the thread may not enter.
  std::optional<Visit> enter();
  void leave(Visit visit);

  Ref auth_;
  Ref report_;

  // Both sequentially consistent: whoever finds detached_ false is seen in inside_ by whoever reads
  // that after detach(). No mutex, which a fork could leave locked.
  std::atomic<bool> detached_ = false;
  // Threads but the main one that are in a callable, of the process that this names.
  std::atomic<Inside> inside_{};
};

// What auth() of a handler returned, as headers; a Python error is set where it is none.
bool read_headers(PyObject* pairs, Headers& headers);

}  // namespace log_aggregator::python
