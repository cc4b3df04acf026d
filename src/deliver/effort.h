// Effort: how hard bodies are compressed, so that the worker keeps up with the application.
//
// Compression is given up for the worker's sake only, never over a slow network, which it relieves.
// So the time spent on it is compared with the time that passed in the transport, where the worker
// sends, waits for answers and waits for records:
//
//   down  as soon as four batches have cost more time than passed in the transport meanwhile, and
//         two more wait beside the one that is made now;
//   up    once what passed in the transport within a second would have been enough to compress what
//         was sent in it twice over, at the cost that the harder step had when it was last used.
//
// Twice, so that it does not go to and fro. From zstd, or gzip, at its usual level it goes to a
// faster level where there is one, and from there, with Compression::automatic, to none. Used by
// the worker only.

#pragma once

#include <array>
#include <chrono>
#include <cstddef>

#include "log_aggregator/options.h"
#include "src/base/clock.h"
#include "src/deliver/compressor.h"

namespace log_aggregator {

class Effort {
 public:
  explicit Effort(Compression chosen);

  Strength strength() const { return strength_; }

  // That many bytes were compressed, or sent as they are; what it took.
  void spent(std::size_t bytes, Clock::TimePoint::duration time);
  // In the transport.
  void waited(Clock::TimePoint::duration time) { waited_ += time; }
  // Another batch is about to be made; `behind`: two more wait.
  void consider(bool behind, Clock::TimePoint now);

 private:
  using Seconds = std::chrono::duration<double>;

  bool can_afford_more() const;
  void begin_period(Clock::TimePoint now);

  const Strength least_;
  Strength strength_ = Strength::usual;
  std::array<Seconds, 3> per_byte_{};  // what each strength has cost when it was last used

  // Since the last change, or for a second.
  Clock::TimePoint begun_{};  // as long ago as can be: the first batch begins a period
  int batches_ = 0;
  std::size_t bytes_ = 0;
  Seconds spent_{};
  Seconds waited_{};
};

}  // namespace log_aggregator
