#include "src/deliver/effort.h"

namespace log_aggregator {
namespace {

constexpr int kBatchesBeforeLess = 4;
constexpr std::chrono::seconds kTimeBeforeMore{1};
constexpr double kSlack = 2;

}  // namespace

Effort::Effort(Compression chosen)
    : least_(chosen == Compression::automatic ? Strength::none : Strength::fast) {}

void Effort::spent(std::size_t bytes, Clock::TimePoint::duration time) {
  bytes_ += bytes;
  spent_ += time;
  if (bytes > 0) {
    per_byte_[static_cast<std::size_t>(strength_)] = Seconds(time) / static_cast<double>(bytes);
  }
}

void Effort::consider(bool behind, Clock::TimePoint now) {
  if (behind && batches_ >= kBatchesBeforeLess && spent_ > waited_ && strength_ > least_) {
    strength_ = static_cast<Strength>(static_cast<int>(strength_) - 1);
    begin_period(now);
  } else if (now - begun_ >= kTimeBeforeMore) {
    if (can_afford_more()) strength_ = static_cast<Strength>(static_cast<int>(strength_) + 1);
    begin_period(now);
  }
  ++batches_;
}

bool Effort::can_afford_more() const {
  if (strength_ == Strength::usual) return false;
  const Seconds per_byte = per_byte_[static_cast<std::size_t>(strength_) + 1];
  return waited_ >= kSlack * static_cast<double>(bytes_) * per_byte;
}

void Effort::begin_period(Clock::TimePoint now) {
  begun_ = now;
  batches_ = 0;
  bytes_ = 0;
  spent_ = waited_ = {};
}

}  // namespace log_aggregator
