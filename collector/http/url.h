// The query part of a URL as names and values.

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace log_aggregator::collector {

// Decodes "a=1&b=x%20y" in order; "+" is a blank. Nothing where a percent sign is not followed by
// two hexadecimal digits.
std::optional<std::vector<std::pair<std::string, std::string>>> parse_query(std::string_view query);

// All of `text` as a decimal number.
std::optional<std::int64_t> parse_integer(std::string_view text);

}  // namespace log_aggregator::collector
