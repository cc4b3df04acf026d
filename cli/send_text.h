// What `log-aggregator send` shows, as text for people.

#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

namespace log_aggregator::cli {

struct SendProgress {
  std::string name;
  std::uint64_t records = 0;           // acknowledged in this run
  std::uint64_t offset = 0;            // in bytes, up to which all is acknowledged
  std::uint64_t from = 0;              // where this run began
  std::optional<std::uint64_t> end{};  // nothing: it is not known
  std::chrono::duration<double> elapsed{0};
};

// One line of at most `columns`. What does not fit is left out from the right.
std::string send_progress_text(const SendProgress& progress, std::size_t columns);

struct SendSum {
  std::string name;
  std::uint64_t sent = 0;     // stored by this run
  std::uint64_t already = 0;  // by earlier ones
  std::uint64_t failed = 0;
};

// "sent 1,234 records of access.log (12 already there), 0 failed"
std::string send_sum_text(const SendSum& sum);

}  // namespace log_aggregator::cli
