// Base64 as RFC 4648 has it, with padding.

#pragma once

#include <string>
#include <string_view>

namespace log_aggregator {

std::string base64_encode(std::string_view bytes);
// Stops at the first character that is not of the alphabet.
std::string base64_decode(std::string_view text);

}  // namespace log_aggregator
