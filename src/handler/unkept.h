// Unkept counts records that were lost for want of memory before they reached a journal, which
// counts all others. Any thread.

#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "log_aggregator/stats.h"

namespace log_aggregator {

class Unkept {
 public:
  void count(int severity) {
    counts_[drop_level(severity)].fetch_add(1, std::memory_order_relaxed);
  }
  bool none() const {
    return std::all_of(counts_.begin(), counts_.end(), [](const auto& count) {
      return count.load(std::memory_order_relaxed) == 0;
    });
  }
  void add_to(Stats& stats) const {
    LevelCounts& dropped = stats.dropped[static_cast<std::size_t>(DropCause::out_of_memory)];
    for (std::size_t level = 0; level < kDropLevels; ++level) {
      const std::uint64_t count = counts_[level].load(std::memory_order_relaxed);
      stats.accepted += count;
      dropped[level] += count;
    }
  }
  // In a forked child, which counts from zero.
  void reset() {
    for (auto& count : counts_) count = 0;
  }

 private:
  std::array<std::atomic<std::uint64_t>, kDropLevels> counts_{};
};

}  // namespace log_aggregator
