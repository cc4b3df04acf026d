// The identifiers of journals, as requests name them.

#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace log_aggregator::collector {

// Nothing where it is no uuid such as 9b2f0c1e-5d4a-4f7b-8a56-0d3f1e2c4b5a.
std::optional<std::string> uuid_in_lower_case(std::string_view text);

}  // namespace log_aggregator::collector
