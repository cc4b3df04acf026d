// StopOnSignal: while it exists, SIGINT and SIGTERM do not end the process but call a function, on
// a thread of its own. One that comes when half a second has passed without any ends the process at
// once.
//
// Make it before any other thread is started: they must inherit that the signals are blocked.

#pragma once

#include <atomic>
#include <csignal>
#include <functional>
#include <thread>

namespace log_aggregator::cli {

class StopOnSignal {
 public:
  explicit StopOnSignal(std::function<void()> stop);
  ~StopOnSignal();
  StopOnSignal(const StopOnSignal&) = delete;
  StopOnSignal& operator=(const StopOnSignal&) = delete;

  // The one that came; 0: none has.
  int number() const { return number_.load(std::memory_order_relaxed); }

 private:
  void wait();

  const std::function<void()> stop_;
  std::atomic<int> number_{0};
  sigset_t signals_;
  sigset_t before_;
  std::jthread thread_;
};

}  // namespace log_aggregator::cli
