// Worker: the one thread of a handler. All signals but those of faults are blocked in it;
// it is named in ps and gdb.

#pragma once

#include <functional>
#include <memory>
#include <thread>

namespace log_aggregator {

class Worker {
 public:
  ~Worker();

  // False where the system has no thread to give; may be tried again.
  bool start(std::function<void()> body);
  bool started() const { return thread_ != nullptr; }
  // Waits for the end of the body.
  void join();
  // Leaves the thread to itself: what its body uses must outlive it.
  void abandon();
  // In a forked child, which has no such thread: forgets it. May be started again.
  void forget();

 private:
  std::unique_ptr<std::thread> thread_;  // null: there is none, or none any more
};

}  // namespace log_aggregator
