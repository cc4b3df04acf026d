// The parameters of a URL's query that several requests share: what records to select, and what
// part of the answer to give.

#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "collector/http/message.h"
#include "collector/http/url.h"
#include "collector/search/filter.h"

namespace log_aggregator::collector {

// What is wrong with a parameter, if anything.
using Wrong = std::optional<HttpError>;

inline Wrong wrong(std::string reason) { return HttpError{400, std::move(reason)}; }

// All parameters of `query` by `set(parsed, name, value)`, which answers what is wrong.
template <typename Parsed, typename Set>
std::variant<Parsed, HttpError> parse_parameters(std::string_view query, const Set& set) {
  const auto parameters = parse_query(query);
  if (!parameters) return HttpError{400, "the query of the URL is not encoded correctly"};
  Parsed parsed;
  for (const auto& [name, value] : *parameters) {
    if (Wrong error = set(parsed, name, value)) return *std::move(error);
  }
  return parsed;
}

Wrong set_number(std::size_t& number, std::int64_t most, const std::string& name,
                 const std::string& value);
// A "+" that was not encoded has arrived as a blank.
Wrong set_time(std::optional<std::int64_t>& time_us, const std::string& name,
               const std::string& value);
Wrong set_before(std::optional<std::int64_t>& before, const std::string& value);

// query, level, logger and host; any other name is wrong.
Wrong set_selection(Selection& selection, const std::string& name, const std::string& value);

}  // namespace log_aggregator::collector
