// StopOnSignal: while it exists, SIGINT and SIGTERM do not end the process but call a function, on
// a thread of its own. One that comes when half a second has passed without any ends the process at
// once.
//
// Make it before any other thread is started: they must inherit that the signals are blocked.

#pragma once

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

 private:
  void wait() const;

  const std::function<void()> stop_;
  sigset_t signals_;
  sigset_t before_;
  std::jthread thread_;
};

}  // namespace log_aggregator::cli
