// Mailbox: where the worker has the application's callbacks run (credentials, reports).
//
// A callback may need a runtime's lock, as Python's, and that runtime may be shutting down. So it
// runs on an application thread that waits in serve_until() where there is one, else on the worker
// itself, unless detach() has forbidden that. One callback runs at a time.
//
// A callback may fork, and its child may return from it into the code of this mailbox, which is the
// parent's. There it finds the mailbox left behind: nothing is waited for or notified any more.

#pragma once

#include <functional>

#include "src/base/clock.h"
#include "src/base/mutex.h"

namespace log_aggregator {

// What Mailbox::run throws in a child that its call has forked: the worker's work is the parent's,
// and nothing of it may go on. No std::exception, so that nobody takes it for an error.
struct LeftBehind {};

class Mailbox {
 public:
  // A mailbox that takes the place of another in a forked child has the same `owner`.
  explicit Mailbox(const void* owner = nullptr) : owner_(owner != nullptr ? owner : this) {}

  // ---- the worker

  // Has `call` run and returns when it is over. False, without running it, where it can run
  // nowhere. Throws LeftBehind.
  bool run(const std::function<void()>& call) EXCLUDES(mutex_);

  // ---- any thread

  // Calls `begin`; what the worker posts in consequence of it finds this thread waiting. Then runs
  // what is posted until `done` is true or the time has come. Returns done(), which is asked again
  // after each notify(). A call that has begun is finished first; false after one that has left
  // this mailbox behind.
  bool serve_until(Clock::TimePoint deadline, const std::function<void()>& begin,
                   const std::function<bool()>& done) EXCLUDES(mutex_);
  void notify() EXCLUDES(mutex_);

  // Runs `call` on the calling thread, after one that is under way. False, without running it, from
  // inside a callback.
  bool run_here(const std::function<void()>& call) EXCLUDES(mutex_);

  // From now on the worker runs no callback itself. Returns when it is out of the one it is in,
  // false if that was not before the deadline.
  bool detach(Clock::TimePoint deadline) EXCLUDES(mutex_);

  // Whether the calling thread is inside a callback of this mailbox, or of another of its owner.
  bool inside_call() const;

  // ---- around a fork

  // Holds every other thread out of the mailbox.
  void lock_for_fork() NO_THREAD_SAFETY_ANALYSIS { mutex_.lock(); }
  void unlock_after_fork() NO_THREAD_SAFETY_ANALYSIS { mutex_.unlock(); }
  // In a child, before unlocking: this mailbox is the parent's.
  void leave_behind() NO_THREAD_SAFETY_ANALYSIS { left_behind_ = true; }

 private:
  enum class Slot { empty, posted, running, finished };

  void call_unlocked(const std::function<void()>& call) REQUIRES(mutex_);
  void serve_one() REQUIRES(mutex_);
  void notify_waiting() REQUIRES(mutex_);

  const void* const owner_;

  Mutex mutex_;
  CondVar changed_;
  Slot slot_ GUARDED_BY(mutex_) = Slot::empty;
  const std::function<void()>* posted_ GUARDED_BY(mutex_) = nullptr;
  int servers_ GUARDED_BY(mutex_) = 0;
  bool calling_ GUARDED_BY(mutex_) = false;  // a callback runs, wherever
  bool worker_in_call_ GUARDED_BY(mutex_) = false;
  bool detached_ GUARDED_BY(mutex_) = false;
  bool left_behind_ GUARDED_BY(mutex_) = false;
};

}  // namespace log_aggregator
