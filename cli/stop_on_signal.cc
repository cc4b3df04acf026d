#include "cli/stop_on_signal.h"

#include <pthread.h>

#include <ctime>
#include <utility>

namespace log_aggregator::cli {

namespace {

constexpr int kEnd = SIGUSR1;  // to our own thread only: there is nothing to wait for any more
constexpr timespec kSameSignal{.tv_sec = 0, .tv_nsec = 500'000'000};

}  // namespace

StopOnSignal::StopOnSignal(std::function<void()> stop) : stop_(std::move(stop)) {
  sigemptyset(&signals_);
  sigaddset(&signals_, SIGINT);
  sigaddset(&signals_, SIGTERM);
  sigaddset(&signals_, kEnd);
  pthread_sigmask(SIG_BLOCK, &signals_, &before_);
  thread_ = std::jthread([this] { wait(); });
}

StopOnSignal::~StopOnSignal() {
  pthread_kill(thread_.native_handle(), kEnd);
  thread_.join();
  pthread_sigmask(SIG_SETMASK, &before_, nullptr);
}

void StopOnSignal::wait() {
  int number = 0;
  sigwait(&signals_, &number);
  if (number == kEnd) return;
  number_.store(number, std::memory_order_relaxed);
  stop_();
  // timeout(1) and the like send the same signal twice: to the process, and to its group.
  while (number != -1) {
    number = sigtimedwait(&signals_, nullptr, &kSameSignal);
    if (number == kEnd) return;
  }
  sigset_t stops = signals_;
  sigdelset(&stops, kEnd);
  pthread_sigmask(SIG_UNBLOCK, &stops, nullptr);
  sigset_t end;
  sigemptyset(&end);
  sigaddset(&end, kEnd);
  sigwait(&end, &number);
}

}  // namespace log_aggregator::cli
