#include "cli/send_text.h"

#include <algorithm>
#include <array>
#include <cstdio>

#include "cli/spool_text.h"
#include "cli/terminal_text.h"
#include "src/base/text.h"

namespace log_aggregator::cli {

namespace {

constexpr std::size_t kBarWidth = 24;
constexpr std::size_t kLongestName = 30;

double share_done(const SendProgress& progress) {
  if (progress.end.value_or(0) == 0) return 1;
  const auto end = static_cast<double>(*progress.end);
  return std::min(1.0, static_cast<double>(progress.offset) / end);
}

std::string bar_text(double share) {
  const auto filled = static_cast<std::size_t>(share * kBarWidth);
  char percent[16];
  std::snprintf(percent, sizeof percent, "] %3d %%", static_cast<int>(share * 100));
  return " [" + std::string(filled, '#') + std::string(kBarWidth - filled, '.') + percent;
}

std::uint64_t per_second(std::uint64_t count, double seconds) {
  return seconds <= 0 ? 0 : static_cast<std::uint64_t>(static_cast<double>(count) / seconds);
}

std::string time_left_text(const SendProgress& progress, std::uint64_t bytes_per_s) {
  if (!progress.end || bytes_per_s == 0) return "";
  const std::uint64_t seconds =
      (*progress.end - std::min(*progress.end, progress.offset)) / bytes_per_s;
  char text[40];
  std::snprintf(text, sizeof text, "  %llu:%02llu left",
                static_cast<unsigned long long>(seconds / 60),
                static_cast<unsigned long long>(seconds % 60));
  return text;
}

std::string shortened(std::string text) {
  if (text.size() <= kLongestName) return text;
  return std::string(start_of(text, kLongestName)) + "…";
}

}  // namespace

std::string send_progress_text(const SendProgress& progress, std::size_t columns) {
  const double seconds = progress.elapsed.count();
  const std::uint64_t bytes_per_s =
      per_second(progress.offset - std::min(progress.offset, progress.from), seconds);
  const std::array<std::string, 5> parts = {
      progress.end ? bar_text(share_done(progress)) : "",
      "  " + count_text(progress.records, "record"),
      "  " + number_text(per_second(progress.records, seconds)) + "/s",
      "  " + size_text(bytes_per_s) + "/s", time_left_text(progress, bytes_per_s)};
  std::string text = shortened(neutralised(progress.name));
  if (text.size() > columns) return "";
  for (const std::string& part : parts) {
    if (text.size() + part.size() > columns) break;
    text += part;
  }
  return text;
}

std::string send_sum_text(const SendSum& sum) {
  return "sent " + count_text(sum.sent, "record") + " of " + neutralised(sum.name) + " (" +
         number_text(sum.already) + " already there), " + number_text(sum.failed) + " failed";
}

}  // namespace log_aggregator::cli
