// Worker: the one thread of a handler. All signals but those of faults are blocked in it;
// it is named in ps and gdb.

#pragma once

#include <functional>
#include <thread>

namespace log_aggregator {

class Worker {
 public:
  ~Worker();

  // False where the system has no thread to give; may be tried again.
  bool start(std::function<void()> body);
  bool started() const { return thread_.joinable(); }
  // Waits for the end of the body.
  void join();
  // Leaves the thread to itself: what its body uses must outlive it.
  void abandon();

 private:
  std::thread thread_;
};

}  // namespace log_aggregator
