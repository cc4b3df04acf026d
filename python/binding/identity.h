// Who makes a log call: process, thread and task, as LogRecord.__init__ finds out. Only while
// logging, threading and os are as they came (standard_logging.h). Needs the interpreter lock.

#pragma once

#include <array>
#include <cstdint>

#include "python/binding/reference.h"

namespace log_aggregator::python {

struct Identity {
  long process = 0;
  unsigned long thread = 0;
  Ref thread_name;
  Ref process_name;  // null: "MainProcess"
  Ref task_name;     // null: there is none, or this Python does not tell (before 3.12)
};

class Identities {
 public:
  // False with a Python error set.
  bool load();
  // False with a Python error set: then logging would have raised, too.
  bool read(Identity& identity);

 private:
  // A thread's Thread object does not change; its name may.
  struct ThreadSlot {
    std::uint64_t state_id = 0;      // of the thread's PyThreadState, which is never used again
    Ref reference;                   // weak: the object is let go when its thread has ended
    std::uint64_t dict_version = 0;  // of the object's __dict__, when it had this name
    Ref name;
  };

  Ref thread_name();
  Ref ask_for_thread_name(ThreadSlot& slot, std::uint64_t state_id);
  Ref process_name();
  Ref task_name();

  Ref current_thread_, name_property_;
  Ref name_, private_name_, multiprocessing_, current_process_, the_current_process_;
  Ref asyncio_, current_task_, get_running_loop_, get_name_;
  Ref known_function_;  // multiprocessing.current_process, once it was seen to be as it came
  std::array<ThreadSlot, 64> threads_;
  std::uint64_t modules_without_multiprocessing_ = 0;  // version of that sys.modules
  long process_ = 0;                                   // whose threads these are
};

}  // namespace log_aggregator::python
