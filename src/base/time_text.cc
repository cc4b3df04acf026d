#include "src/base/time_text.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>

namespace log_aggregator {
namespace {

// Where the parts stand in 2025-03-27T08:02:51.123456+00:00.
constexpr std::size_t kMicrosecondsAt = 20;

void put_digits(char* out, unsigned value, int count) {
  for (int i = count - 1; i >= 0; --i) {
    out[i] = static_cast<char>('0' + value % 10);
    value /= 10;
  }
}

// "00" to "99", one behind the other.
constexpr std::array<char, 200> kPairs = [] {
  std::array<char, 200> pairs{};
  for (std::size_t i = 0; i < 100; ++i) {
    pairs[2 * i] = static_cast<char>('0' + i / 10);
    pairs[2 * i + 1] = static_cast<char>('0' + i % 10);
  }
  return pairs;
}();

void put_pair(char* out, std::size_t value) { std::memcpy(out, &kPairs[2 * value], 2); }

}  // namespace

// Written with each record, and so without a division that waits for another.
void format_microseconds(int microseconds, char* out) {
  const auto value = static_cast<unsigned>(microseconds);
  put_pair(out + kMicrosecondsAt, value / 10'000);
  put_pair(out + kMicrosecondsAt + 2, value / 100 % 100);
  put_pair(out + kMicrosecondsAt + 4, value % 100);
}

void format_timestamp(std::int64_t unix_microseconds, char* out) {
  using std::chrono::days;
  using std::chrono::floor;
  using std::chrono::seconds;
  const std::chrono::sys_time<std::chrono::microseconds> exact{std::chrono::microseconds(
      std::clamp(unix_microseconds, kFirstTimestampUs, kLastTimestampUs))};
  const auto second = floor<seconds>(exact);
  const auto day = floor<days>(second);
  const std::chrono::year_month_day date{day};
  const std::chrono::hh_mm_ss<seconds> time{second - day};

  std::memcpy(out, "0000-00-00T00:00:00.000000+00:00", kTimestampLength);
  put_digits(out, static_cast<unsigned>(static_cast<int>(date.year())), 4);
  put_digits(out + 5, static_cast<unsigned>(date.month()), 2);
  put_digits(out + 8, static_cast<unsigned>(date.day()), 2);
  put_digits(out + 11, static_cast<unsigned>(time.hours().count()), 2);
  put_digits(out + 14, static_cast<unsigned>(time.minutes().count()), 2);
  put_digits(out + 17, static_cast<unsigned>(time.seconds().count()), 2);
  format_microseconds(static_cast<int>((exact - second).count()), out);
}

}  // namespace log_aggregator
