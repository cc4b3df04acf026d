#include "collector/http/uuid.h"

#include <algorithm>

#include "src/base/uuid.h"

namespace log_aggregator::collector {

std::optional<std::string> uuid_in_lower_case(std::string_view text) {
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(), [](char c) {
    return c >= 'A' && c <= 'F' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  if (!parse_uuid(lower)) return std::nullopt;
  return lower;
}

}  // namespace log_aggregator::collector
