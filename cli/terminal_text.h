// Text from elsewhere, made harmless for a terminal: nothing of it can move the cursor, change
// colours, reorder what stands beside it, or begin a line.

#pragma once

#include <string>
#include <string_view>

namespace log_aggregator::cli {

// Control characters and marks of writing direction become visible escapes such as \x1b, \n or
// \u202e.
std::string neutralised(std::string_view utf8);

// The same for valid JSON, which stays valid, keeps its meaning, and becomes one line.
std::string neutralised_json(std::string_view json);

}  // namespace log_aggregator::cli
