// ISO 8601 text of a point in time, as records carry it.

#pragma once

#include <cstddef>
#include <cstdint>

namespace log_aggregator {

// "2025-03-27T08:02:51.123456+00:00": what format_timestamp writes, without a terminating zero.
inline constexpr std::size_t kTimestampLength = 32;

// What four digits can say of the year: 0001-01-01T00:00:00.000000 to 9999-12-31T23:59:59.999999.
inline constexpr std::int64_t kFirstTimestampUs = -62'135'596'800'000'000;
inline constexpr std::int64_t kLastTimestampUs = 253'402'300'799'999'999;

// Writes kTimestampLength characters. A time outside that range is clamped to it.
void format_timestamp(std::int64_t unix_microseconds, char* out);

// Writes only the microseconds of a timestamp that format_timestamp wrote in the same second.
void format_microseconds(int microseconds, char* out);

}  // namespace log_aggregator
