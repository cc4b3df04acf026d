#include "collector/http/parameters.h"

#include <utility>

#include "collector/timestamp.h"

namespace log_aggregator::collector {

namespace {

constexpr std::size_t kMaxLevels = 100;

Wrong set_filter(Filter& filter, const std::string& value) {
  auto parsed = parse_filter(value);
  if (const auto* error = std::get_if<FilterError>(&parsed)) {
    HttpError answer{
        400, "query, character " + std::to_string(error->position + 1) + ": " + error->reason};
    answer.place = {error->position, error->length};
    return answer;
  }
  filter = std::get<Filter>(std::move(parsed));
  return std::nullopt;
}

}  // namespace

Wrong set_number(std::size_t& number, std::int64_t most, const std::string& name,
                 const std::string& value) {
  const auto parsed = parse_integer(value);
  if (!parsed || *parsed < 1 || *parsed > most) {
    return wrong(name + " must be a number from 1 to " + std::to_string(most));
  }
  number = static_cast<std::size_t>(*parsed);
  return std::nullopt;
}

Wrong set_time(std::optional<std::int64_t>& time_us, const std::string& name,
               const std::string& value) {
  constexpr std::size_t kDateLength = 10;
  std::string text = value;
  const auto blank = text.rfind(' ');
  if (blank != std::string::npos && blank > kDateLength) text[blank] = '+';
  time_us = parse_timestamp(text);
  if (!time_us) return wrong(name + " must be ISO 8601 with an offset");
  return std::nullopt;
}

Wrong set_before(std::optional<std::int64_t>& before, const std::string& value) {
  before = parse_integer(value);
  if (!before) return wrong("before must be the \"next\" of an answer");
  return std::nullopt;
}

Wrong set_selection(Selection& selection, const std::string& name, const std::string& value) {
  if (name == "query") return set_filter(selection.filter, value);
  if (name == "level") {
    if (selection.levels.size() == kMaxLevels) return wrong("level is given too often");
    selection.levels.push_back(value);
  } else if (name == "logger") {
    selection.logger = value;
  } else if (name == "host") {
    selection.host = value;
  } else {
    return wrong("unknown parameter: " + name);
  }
  return std::nullopt;
}

}  // namespace log_aggregator::collector
