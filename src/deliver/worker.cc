#include "src/deliver/worker.h"

#include <pthread.h>

#include <csignal>
#include <system_error>
#include <utility>

namespace log_aggregator {

Worker::~Worker() { join(); }

bool Worker::start(std::function<void()> body) {
  // A thread inherits its maker's signal mask: the application's handlers run on its own threads.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  try {
    thread_ = std::thread(std::move(body));
    pthread_setname_np(thread_.native_handle(), "log-aggregator");
  } catch (const std::system_error&) {
    // started() says it.
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return started();
}

void Worker::join() {
  if (thread_.joinable()) thread_.join();
}

void Worker::abandon() {
  if (thread_.joinable()) thread_.detach();
}

}  // namespace log_aggregator
