#include "src/handler/fork.h"

#include <pthread.h>
#include <simdjson.h>

#include "src/base/clock.h"
#include "src/base/files.h"
#include "src/base/mutex.h"
#include "src/deliver/curl_transport.h"
#include "src/handler/record_encoder.h"
#include "src/journal/spool.h"

namespace log_aggregator {
namespace {

// Constant-initialised and never destroyed: a fork can come at any time of a process's life.
constinit Mutex mutex;
constinit ForkAware* first GUARDED_BY(mutex) = nullptr;
constinit bool registered GUARDED_BY(mutex) = false;

// What is made at its first use, and by whatever thread that is: to a child, a fork in the middle
// of it would leave something that it waits for for ever.
void make_what_first_uses_make() {
  real_clock();
  real_files();
  // simdjson chooses among its kernels.
  [[maybe_unused]] const bool valid = simdjson::validate_utf8("", 0);
}

}  // namespace

const bool ForkWatch::started_at_load_ = start();

bool ForkWatch::start() {
  const MutexLock lock(mutex);
  if (registered) return true;
  registered = ::pthread_atfork(&prepare, &in_parent, &in_child) == 0;
  if (registered) make_what_first_uses_make();
  return registered;
}

bool ForkWatch::add(ForkAware& object) {
  if (!start()) return false;
  const MutexLock lock(mutex);
  object.next_ = first;
  if (first != nullptr) first->previous_ = &object;
  first = &object;
  return true;
}

void ForkWatch::remove(ForkAware& object) {
  const MutexLock lock(mutex);
  if (first == &object) first = object.next_;
  if (object.next_ != nullptr) object.next_->previous_ = object.previous_;
  if (object.previous_ != nullptr) object.previous_->next_ = object.next_;
  object.next_ = object.previous_ = nullptr;
}

void ForkWatch::prepare() NO_THREAD_SAFETY_ANALYSIS {
  mutex.lock();
  for (ForkAware* object = first; object != nullptr; object = object->next_) {
    object->before_fork();
  }
  hold_spool_locks_for_fork();
  lock_curl_for_fork();
}

void ForkWatch::in_parent() NO_THREAD_SAFETY_ANALYSIS {
  unlock_curl_after_fork();
  resume_spool_locks_after_fork();
  for (ForkAware* object = first; object != nullptr; object = object->next_) {
    object->after_fork_in_parent();
  }
  mutex.unlock();
}

void ForkWatch::in_child() NO_THREAD_SAFETY_ANALYSIS {
  close_curl_sockets_in_child();
  unlock_curl_after_fork();
  close_spool_locks_in_child();
  resume_spool_locks_after_fork();
  for (ForkAware* object = first; object != nullptr; object = object->next_) {
    object->after_fork_in_child();
  }
  renew_identities_in_child();
  mutex.unlock();
}

}  // namespace log_aggregator
