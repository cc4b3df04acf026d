#include "src/deliver/worker.h"

#include <pthread.h>

#include <csignal>
#include <exception>
#include <utility>

namespace log_aggregator {

Worker::~Worker() { join(); }

bool Worker::start(std::function<void()> body) {
  // A thread inherits its maker's signal mask: the application's handlers run on its own threads,
  // but for those of faults, which only the thread that made one can tell of. What abort() sends
  // comes through all the same, and another process's SIGABRT is to find a thread of the program.
  sigset_t others;
  sigset_t before;
  sigfillset(&others);
  for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP}) {
    sigdelset(&others, fault);
  }
  pthread_sigmask(SIG_SETMASK, &others, &before);
  try {
    thread_ = std::make_unique<std::thread>(std::move(body));
    pthread_setname_np(thread_->native_handle(), "log-aggregator");
  } catch (const std::exception&) {
    // started() says it.
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return started();
}

void Worker::join() {
  if (!thread_) return;
  thread_->join();
  thread_.reset();
}

void Worker::abandon() {
  if (!thread_) return;
  thread_->detach();
  thread_.reset();
}

// Its end would wait for a thread that is not there, or abort.
void Worker::forget() { static_cast<void>(thread_.release()); }

}  // namespace log_aggregator
