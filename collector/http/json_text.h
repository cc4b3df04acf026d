// Cuts JSON text into the texts of its parts, which a parser's document cannot give back as they
// came. Works on brackets and strings alone: what is between them is for the parser to judge.

#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace log_aggregator::collector {

// The texts of the elements of an array, or of the members of an object ("name":value), trimmed.
// Nothing where brackets or quotes do not match, an element is empty, or something follows. Stops
// with `most` + 1 parts where there are more than `most`.
std::optional<std::vector<std::string_view>> split_json(std::string_view text, std::size_t most);

// Puts a zero, and blanks, in place of every well-formed number that a 64-bit parser may refuse for
// its size, so that a parser judges the rest of the text. True if there were any.
bool blank_long_numbers(std::string& json);

}  // namespace log_aggregator::collector
