// What handlers mean by the names of levels, so that levels can be compared.

#pragma once

#include <optional>
#include <string_view>

namespace log_aggregator::collector {

// TRACE 5, DEBUG 10, INFO 20, WARNING 30, ERROR 40, CRITICAL 50 and their other names, in any case,
// "Level N" and N itself; nothing for any other name.
std::optional<int> severity_of(std::string_view level);

}  // namespace log_aggregator::collector
