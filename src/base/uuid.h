// Random identifiers, as RFC 4122 version 4 has them.

#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>

namespace log_aggregator {

// For example "9b2f0c1e-5d4a-4f7b-8a56-0d3f1e2c4b5a".
std::string make_uuid();

using UuidBytes = std::array<char, 16>;
// Of exactly that form, in lower case; none for any other text.
std::optional<UuidBytes> parse_uuid(std::string_view text);

}  // namespace log_aggregator
