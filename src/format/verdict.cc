#include "src/format/verdict.h"

#include <simdjson.h>

#include <optional>

namespace log_aggregator {
namespace {

// {"stored":498,"duplicates":1,"errors":[{"index":7,"reason":"..."}]}. The counts must add up:
// an answer of another kind that happens to have such members says nothing of who was stored.
std::optional<std::vector<RefusedRecord>> named_records(std::string_view body,
                                                        std::size_t records) {
  simdjson::dom::parser parser;
  simdjson::dom::element answer;
  simdjson::dom::array errors;
  std::uint64_t stored = 0;
  if (parser.parse(body.data(), body.size()).get(answer) != simdjson::SUCCESS) return std::nullopt;
  if (answer["stored"].get(stored) != simdjson::SUCCESS) return std::nullopt;
  if (answer["errors"].get(errors) != simdjson::SUCCESS) return std::nullopt;
  std::uint64_t duplicates = 0;
  if (answer["duplicates"].get(duplicates) != simdjson::SUCCESS) duplicates = 0;

  std::vector<RefusedRecord> refused;
  std::vector<bool> named(records);
  for (const simdjson::dom::element error : errors) {
    std::uint64_t index = 0;
    if (error["index"].get(index) != simdjson::SUCCESS) return std::nullopt;
    if (index >= records || named[index]) return std::nullopt;
    named[index] = true;
    std::string_view reason;
    if (error["reason"].get(reason) != simdjson::SUCCESS) reason = "";
    refused.push_back({static_cast<std::size_t>(index), std::string(reason)});
  }
  if (stored > records || duplicates > records) return std::nullopt;  // or the sum might wrap
  if (stored + duplicates + refused.size() != records) return std::nullopt;
  return refused;
}

Verdict judge_bad_request(std::string_view body, std::size_t records) {
  auto refused = named_records(body, records);
  if (!refused || refused->empty()) return {Fate::poisoned, {}};
  return {Fate::partly, std::move(*refused)};
}

}  // namespace

Verdict judge(int status, std::string_view body, std::size_t records) {
  if (status >= 200 && status <= 299) return {Fate::stored, {}};
  if (status >= 500) return {Fate::retry, {}};
  switch (status) {
    case 400:
    case 422:
      return judge_bad_request(body, records);
    case 401:
    case 403:
      return {Fate::unauthorized, {}};
    case 408:
    case 421:  // our collector, until it is told that it goes by this name
    case 429:
      return {Fate::retry, {}};
    case 413:
      return {Fate::too_large, {}};
    case 415:
      return {Fate::unsupported, {}};
    default:
      return {Fate::refused, {}};
  }
}

}  // namespace log_aggregator
