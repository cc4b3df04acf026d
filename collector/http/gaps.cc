#include "collector/http/gaps.h"

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "collector/http/parameters.h"
#include "collector/http/uuid.h"
#include "collector/timestamp.h"
#include "log_aggregator/json_writer.h"

namespace log_aggregator::collector {

namespace {

constexpr std::int64_t kMaxLimit = 1'000;

Wrong set_parameter(GapsQuery& query, const std::string& name, const std::string& value) {
  if (name == "journal") {
    query.journal = uuid_in_lower_case(value);
    if (!query.journal) return wrong("journal must be a uuid");
  } else if (name == "all") {
    if (value != "0" && value != "1") return wrong("all must be 0 or 1");
    query.all = value == "1";
  } else if (name == "limit") {
    return set_number(query.limit, kMaxLimit, name, value);
  } else if (name == "before") {
    return set_before(query.before, value);
  } else {
    return wrong("unknown parameter: " + name);
  }
  return std::nullopt;
}

void write_count(JsonWriter& json, std::string_view name, std::uint64_t count) {
  json.key(name);
  json.integer(static_cast<std::int64_t>(count));
}

void write_ranges(JsonWriter& json, std::string_view name,
                  const std::vector<SequenceRange>& ranges) {
  json.key(name);
  json.begin_array();
  for (const SequenceRange& each : ranges) {
    json.begin_array();
    json.integer(static_cast<std::int64_t>(each.first));
    json.integer(static_cast<std::int64_t>(each.last));
    json.end_array();
  }
  json.end_array();
}

void write_text_or_null(JsonWriter& json, std::string_view name, std::string_view text) {
  json.key(name);
  if (text.empty()) {
    json.null();
  } else {
    json.string(text);
  }
}

void write_journal(JsonWriter& json, const JournalGaps& journal) {
  const Gaps& gaps = journal.gaps;
  json.begin_object();
  json.key("journal");
  json.string(journal.journal);
  write_text_or_null(json, "host", journal.host);
  write_text_or_null(json, "last_seen",
                     journal.seen_us == 0 ? "" : timestamp_text(journal.seen_us));
  write_count(json, "stored", gaps.stored);
  write_count(json, "last", gaps.last);
  write_ranges(json, "missing", gaps.missing);
  write_count(json, "missing_count", gaps.missing_count);
  write_ranges(json, "skipped", gaps.skipped);
  write_count(json, "skipped_count", gaps.skipped_count);
  json.key("truncated");
  json.boolean(gaps.truncated);
  json.end_object();
}

}  // namespace

std::variant<GapsQuery, HttpError> parse_gaps_query(std::string_view query) {
  return parse_parameters<GapsQuery>(query, set_parameter);
}

HttpResponse gaps_response(const GapsPage& page) {
  JsonWriter json;
  json.begin_object();
  json.key("journals");
  json.begin_array();
  for (const JournalGaps& journal : page.journals) write_journal(json, journal);
  json.end_array();
  write_text_or_null(json, "next", page.next ? std::to_string(*page.next) : "");
  json.end_object();
  return {200, std::string(json.text()), {}};
}

}  // namespace log_aggregator::collector
