// Small things that are done to text in many places.

#pragma once

#include <string_view>

namespace log_aggregator {

// Without the spaces, tabs and line breaks at both ends.
std::string_view trim_blanks(std::string_view text);

// Of ASCII letters only, whatever the locale.
bool equal_ignoring_case(std::string_view a, std::string_view b);

}  // namespace log_aggregator
