// Clock: the seam through which the code that waits and retries sees time. One real clock; tests
// have one that they move by hand.

#pragma once

#include <chrono>

namespace log_aggregator {

class Clock {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  virtual ~Clock() = default;
  // Never goes backward, whatever happens to the wall clock.
  virtual TimePoint now() const = 0;
  // Wall clock, for dates that others name.
  virtual std::chrono::system_clock::time_point wall_now() const = 0;
};

// The machine's clock. Lives for ever.
Clock& real_clock();

}  // namespace log_aggregator
