#include "log_aggregator/stats.h"

#include <algorithm>
#include <numeric>

namespace log_aggregator {

std::string_view drop_cause_name(DropCause cause) {
  switch (cause) {
    case DropCause::queue_full:
      return "queue_full";
    case DropCause::evicted:
      return "evicted";
    case DropCause::block_timeout:
      return "block_timeout";
    case DropCause::retries_exhausted:
      return "retries_exhausted";
    case DropCause::refused:
      return "refused";
    case DropCause::unauthorized:
      return "unauthorized";
    case DropCause::too_large:
      return "too_large";
    case DropCause::closed:
      return "closed";
    case DropCause::reentrant:
      return "reentrant";
    case DropCause::out_of_memory:
      return "out_of_memory";
    case DropCause::damaged:
      return "damaged";
  }
  return "unknown";
}

std::size_t drop_level(int severity) {
  constexpr int kFirstBound = 20;
  constexpr int kStep = 10;
  if (severity < kFirstBound) return 0;
  return std::min<std::size_t>(static_cast<std::size_t>((severity - kStep) / kStep),
                               kDropLevels - 1);
}

std::string_view drop_level_name(std::size_t level) {
  constexpr std::array<std::string_view, kDropLevels> kNames = {"DEBUG", "INFO", "WARNING", "ERROR",
                                                                "CRITICAL"};
  return kNames[level];
}

std::uint64_t total(const LevelCounts& counts) {
  return std::accumulate(counts.begin(), counts.end(), std::uint64_t{0});
}

std::uint64_t total(const DropCounts& counts) {
  std::uint64_t sum = 0;
  for (const LevelCounts& cause : counts) sum += total(cause);
  return sum;
}

std::uint64_t Stats::dropped_for(DropCause cause) const {
  return total(dropped[static_cast<std::size_t>(cause)]);
}

std::uint64_t Stats::dropped_total() const { return total(dropped); }

}  // namespace log_aggregator
