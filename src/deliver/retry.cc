#include "src/deliver/retry.h"

#include <curl/curl.h>

#include <algorithm>
#include <charconv>
#include <ctime>

namespace log_aggregator {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr milliseconds kLongestWait = seconds(30);
constexpr seconds kLongestRetryAfter = std::chrono::minutes(5);

milliseconds clamp(seconds wait) { return std::clamp(wait, seconds(0), kLongestRetryAfter); }

}  // namespace

milliseconds retry_wait(int n, milliseconds retry_delay, double chance) {
  const milliseconds longest = std::max(kLongestWait, retry_delay);
  milliseconds wait = retry_delay;
  for (int i = 1; i < n && wait < longest; ++i) wait *= 2;
  wait = std::min(wait, longest);
  return wait +
         milliseconds(static_cast<std::int64_t>(static_cast<double>(wait.count()) / 2 * chance));
}

std::optional<milliseconds> parse_retry_after(const std::string& value,
                                              std::chrono::system_clock::time_point now) {
  if (value.empty()) return std::nullopt;
  if (value.find_first_not_of("0123456789") == std::string::npos) {
    long long count = 0;
    const auto result = std::from_chars(value.data(), value.data() + value.size(), count);
    // Too many digits for a number are a long time, too.
    if (result.ec != std::errc()) return kLongestRetryAfter;
    return clamp(seconds(std::min<long long>(count, kLongestRetryAfter.count())));
  }
  const std::time_t date = curl_getdate(value.c_str(), nullptr);
  if (date < 0) return std::nullopt;
  return clamp(seconds(date - std::chrono::system_clock::to_time_t(now)));
}

}  // namespace log_aggregator
