// ISO 8601 text of a point in time, as records carry it.

#pragma once

#include <cstddef>
#include <cstdint>

namespace log_aggregator {

// "2025-03-27T08:02:51.123456+00:00": what format_timestamp writes, without a terminating zero.
inline constexpr std::size_t kTimestampLength = 32;

// Writes kTimestampLength characters. Years outside 0001..9999 are clamped to that range.
void format_timestamp(std::int64_t unix_microseconds, char* out);

// Writes only the microseconds of a timestamp that format_timestamp wrote in the same second.
void format_microseconds(int microseconds, char* out);

}  // namespace log_aggregator
