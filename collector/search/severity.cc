#include "collector/search/severity.h"

#include <charconv>
#include <utility>

#include "src/base/text.h"

namespace log_aggregator::collector {

std::optional<int> severity_of(std::string_view level) {
  static constexpr std::pair<std::string_view, int> kNames[] = {
      {"TRACE", 5},  {"DEBUG", 10}, {"INFO", 20},     {"WARNING", 30}, {"WARN", 30},
      {"ERROR", 40}, {"ERR", 40},   {"CRITICAL", 50}, {"FATAL", 50},
  };
  for (const auto& [name, severity] : kNames) {
    if (equal_ignoring_case(level, name)) return severity;
  }
  constexpr std::string_view kNumbered = "Level ";  // as Python names levels without a name
  if (equal_ignoring_case(level.substr(0, kNumbered.size()), kNumbered)) {
    level.remove_prefix(kNumbered.size());
  }
  int number = 0;
  const char* end = level.data() + level.size();
  const auto [stop, error] = std::from_chars(level.data(), end, number);
  if (error != std::errc() || stop != end) return std::nullopt;
  return number;
}

}  // namespace log_aggregator::collector
