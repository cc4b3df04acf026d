#include "src/deliver/mailbox.h"

#include <utility>

namespace log_aggregator {
namespace {

// Of the mailbox in whose callback the thread is.
thread_local const void* current_owner = nullptr;

}  // namespace

bool Mailbox::inside_call() const { return current_owner == owner_; }

// The C library's condition variables wait for threads that were waiting in them: in a child that
// would be for ever.
void Mailbox::notify_waiting() {
  if (!left_behind_) changed_.notify_all();
}

void Mailbox::call_unlocked(const std::function<void()>& call) {
  while (calling_) changed_.wait(mutex_);
  calling_ = true;
  mutex_.unlock();
  const void* outer = std::exchange(current_owner, owner_);
  call();
  current_owner = outer;
  mutex_.lock();
  calling_ = false;
  notify_waiting();
}

bool Mailbox::run(const std::function<void()>& call) {
  const MutexLock lock(mutex_);
  if (servers_ > 0) {
    slot_ = Slot::posted;
    posted_ = &call;
    changed_.notify_all();
    // Servers may leave before one of them has begun it.
    while (slot_ == Slot::running || (slot_ == Slot::posted && servers_ > 0)) {
      changed_.wait(mutex_);
    }
    if (std::exchange(slot_, Slot::empty) == Slot::finished) return true;
  }
  if (detached_) return false;
  worker_in_call_ = true;
  call_unlocked(call);
  if (left_behind_) throw LeftBehind();
  worker_in_call_ = false;
  return true;
}

void Mailbox::serve_one() {
  slot_ = Slot::running;
  call_unlocked(*posted_);
  slot_ = Slot::finished;
}

bool Mailbox::run_here(const std::function<void()>& call) {
  if (inside_call()) return false;
  const MutexLock lock(mutex_);
  call_unlocked(call);
  return true;
}

bool Mailbox::serve_until(Clock::TimePoint deadline, const std::function<void()>& begin,
                          const std::function<bool()>& done) {
  const MutexLock lock(mutex_);
  ++servers_;
  begin();
  bool is_done = done();
  while (!is_done && std::chrono::steady_clock::now() < deadline) {
    if (slot_ == Slot::posted) {
      serve_one();
    } else {
      changed_.wait_until(mutex_, deadline);
    }
    if (left_behind_) return false;
    is_done = done();
  }
  --servers_;
  notify_waiting();
  return is_done;
}

void Mailbox::notify() {
  const MutexLock lock(mutex_);
  notify_waiting();
}

bool Mailbox::detach(Clock::TimePoint deadline) {
  const MutexLock lock(mutex_);
  detached_ = true;
  while (worker_in_call_ && !inside_call() && std::chrono::steady_clock::now() < deadline) {
    changed_.wait_until(mutex_, deadline);
  }
  return !worker_in_call_;
}

}  // namespace log_aggregator
