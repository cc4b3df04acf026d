#include "src/base/clock.h"

namespace log_aggregator {
namespace {

class RealClock final : public Clock {
 public:
  TimePoint now() const override { return std::chrono::steady_clock::now(); }
  std::chrono::system_clock::time_point wall_now() const override {
    return std::chrono::system_clock::now();
  }
};

}  // namespace

Clock& real_clock() {
  // Never destroyed: a worker that was left to itself may outlive the statics of the process.
  static RealClock* const clock = new RealClock;
  return *clock;
}

}  // namespace log_aggregator
