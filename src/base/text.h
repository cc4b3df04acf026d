// Small things that are done to text in many places.

#pragma once

#include <cstddef>
#include <string_view>

namespace log_aggregator {

// Without the spaces, tabs and line breaks at both ends.
std::string_view trim_blanks(std::string_view text);

// The first `most_bytes` of it, less a character that would be split.
std::string_view start_of(std::string_view utf8, std::size_t most_bytes);

// Of ASCII letters only, whatever the locale.
bool equal_ignoring_case(std::string_view a, std::string_view b);

}  // namespace log_aggregator
