// FakeClock stands still until it is moved. May be read and moved by any thread, but for move_wall,
// which needs that no other thread reads.

#pragma once

#include <atomic>
#include <chrono>

#include "src/base/clock.h"

namespace log_aggregator::testing {

class FakeClock final : public Clock {
 public:
  TimePoint now() const override { return TimePoint(TimePoint::duration(now_.load())); }
  // Moves along with now(), from the second in which RFC 9110's example date lies.
  std::chrono::system_clock::time_point wall_now() const override {
    return std::chrono::system_clock::from_time_t(784'111'777) + wall_moved_ + (now() - kStart);
  }

  void advance(TimePoint::duration by) { now_ += by.count(); }
  void advance_to(TimePoint then) {
    if (then > now()) now_ = then.time_since_epoch().count();
  }
  // As somebody sets the clock of a machine, forward or back.
  void move_wall(std::chrono::hours by) { wall_moved_ += by; }
  // Since the clock was made.
  std::chrono::milliseconds elapsed() const {
    return std::chrono::duration_cast<std::chrono::milliseconds>(now() - kStart);
  }

 private:
  static constexpr TimePoint kStart{std::chrono::hours(1)};
  std::chrono::hours wall_moved_{0};
  std::atomic<TimePoint::rep> now_{kStart.time_since_epoch().count()};
};

}  // namespace log_aggregator::testing
