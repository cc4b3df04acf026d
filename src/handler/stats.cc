#include "log_aggregator/stats.h"

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
  }
  return "unknown";
}

std::uint64_t Stats::dropped_total() const {
  return std::accumulate(dropped.begin(), dropped.end(), std::uint64_t{0});
}

}  // namespace log_aggregator
