// When a failed request is tried again.

#pragma once

#include <chrono>
#include <optional>
#include <string>

namespace log_aggregator {

// The wait before retry `n` (from 1): retry_delay * 2^(n-1), at most 30 s or retry_delay, where
// that is longer, then up to half of it more. `chance` is drawn from [0, 1).
std::chrono::milliseconds retry_wait(int n, std::chrono::milliseconds retry_delay, double chance);

// Reads a Retry-After header, seconds or an HTTP date, clamped to 0 s .. 5 min. Nothing where it
// is neither.
std::optional<std::chrono::milliseconds> parse_retry_after(
    const std::string& value, std::chrono::system_clock::time_point now);

}  // namespace log_aggregator
