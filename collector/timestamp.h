// ISO 8601 timestamps as microseconds since 1970, and back.

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace log_aggregator::collector {

// Reads 2025-03-27T08:02:51.123456+00:00. The offset (Z, +hh:mm, +hhmm or +hh) is required;
// seconds and their fraction are not, and a blank may stand for the T. What is finer than a
// microsecond is cut off. Anything else, a day that is not in the calendar and a time outside the
// years 1 to 9999 (UTC) included: nothing.
std::optional<std::int64_t> parse_timestamp(std::string_view text);

// 2025-03-27T08:02:51.123456+00:00
std::string timestamp_text(std::int64_t unix_microseconds);

std::int64_t now_microseconds();

}  // namespace log_aggregator::collector
