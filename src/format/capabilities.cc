#include "src/format/capabilities.h"

#include <simdjson.h>

namespace log_aggregator {
namespace {

bool lists(const simdjson::dom::element& answer, std::string_view member, std::string_view name) {
  simdjson::dom::array array;
  if (answer[member].get(array) != simdjson::SUCCESS) return false;
  for (const simdjson::dom::element element : array) {
    std::string_view text;
    if (element.get(text) == simdjson::SUCCESS && text == name) return true;
  }
  return false;
}

std::size_t limit(const simdjson::dom::element& batch, std::string_view member) {
  std::uint64_t value = 0;
  if (batch[member].get(value) != simdjson::SUCCESS || value == 0) return SIZE_MAX;
  return value;
}

}  // namespace

Capabilities parse_capabilities(std::string_view health_answer) {
  Capabilities takes;
  simdjson::dom::parser parser;
  simdjson::dom::element answer;
  simdjson::dom::element batch;
  if (parser.parse(health_answer.data(), health_answer.size()).get(answer) != simdjson::SUCCESS) {
    return takes;
  }
  takes.ndjson = lists(answer, "formats", "ndjson");
  takes.zstd = lists(answer, "encodings", "zstd");
  takes.gzip = lists(answer, "encodings", "gzip");
  if (answer["batch"].get(batch) != simdjson::SUCCESS || !batch.is_object()) return takes;
  takes.max_records = limit(batch, "max_records");
  takes.max_bytes = limit(batch, "max_bytes");
  return takes;
}

}  // namespace log_aggregator
