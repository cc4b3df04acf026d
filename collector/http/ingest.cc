#include "collector/http/ingest.h"

#include <simdjson.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "collector/http/decompress.h"
#include "collector/http/json_text.h"
#include "collector/http/uuid.h"
#include "collector/timestamp.h"
#include "log_aggregator/json_writer.h"
#include "src/base/sequence_ranges.h"
#include "src/base/text.h"

namespace log_aggregator::collector {

namespace {

namespace dom = simdjson::dom;

constexpr std::string_view kJson = "application/json";
constexpr std::string_view kNdjson = "application/x-ndjson";
constexpr std::string_view kJournalHeader = "Log-Aggregator-Journal";
constexpr std::string_view kSequenceHeader = "Log-Aggregator-Sequence";
constexpr std::string_view kSkippedHeader = "Log-Aggregator-Skipped";
// A sender closes a batch rather than write more.
constexpr std::size_t kMaxRangesBytes = 4096;

// Without its parameters, such as a charset.
std::string_view media_type(const HttpRequest& request) {
  const std::string_view value = request.header("Content-Type").value_or("");
  return trim_blanks(value.substr(0, value.find(';')));
}

// What a request says of the numbers of its sender's journal.
struct Numbering {
  std::string journal;                   // empty: none
  std::vector<SequenceRange> intervals;  // of the records of the body; none where it has no records
  std::vector<SequenceRange> skipped;    // given up
};

// None where the request does not have the header.
std::variant<std::vector<SequenceRange>, HttpError> read_ranges(const HttpRequest& request,
                                                                std::string_view name) {
  const auto text = request.header(name);
  if (!text) return std::vector<SequenceRange>{};
  if (text->size() > kMaxRangesBytes) {
    return HttpError{
        400, std::string(name) + " is longer than " + std::to_string(kMaxRangesBytes) + " bytes"};
  }
  auto ranges = parse_ranges(*text);
  if (!ranges.ok()) return HttpError{400, std::string(name) + " " + ranges.status().message()};
  return std::move(ranges).value();
}

// Which of the headers lacks another, if any does.
std::optional<HttpError> check_companions(const HttpRequest& request) {
  const bool journal = request.header(kJournalHeader).has_value();
  const bool sequence = request.header(kSequenceHeader).has_value();
  const bool skipped = request.header(kSkippedHeader).has_value();
  if (journal == (sequence || skipped)) return std::nullopt;
  const std::string_view lonely = journal    ? kJournalHeader
                                  : sequence ? kSequenceHeader
                                             : kSkippedHeader;
  const std::string needed =
      journal ? std::string(kSequenceHeader) + " or " + std::string(kSkippedHeader)
              : std::string(kJournalHeader);
  return HttpError{400, std::string(lonely) + " must come with " + needed};
}

std::variant<Numbering, HttpError> read_numbering(const HttpRequest& request) {
  if (auto error = check_companions(request)) return *std::move(error);
  const auto journal = request.header(kJournalHeader);
  if (!journal) return Numbering{};
  auto uuid = uuid_in_lower_case(*journal);
  if (!uuid) return HttpError{400, std::string(kJournalHeader) + " must be a uuid"};
  auto intervals = read_ranges(request, kSequenceHeader);
  if (auto* error = std::get_if<HttpError>(&intervals)) return std::move(*error);
  auto skipped = read_ranges(request, kSkippedHeader);
  if (auto* error = std::get_if<HttpError>(&skipped)) return std::move(*error);
  return Numbering{*std::move(uuid), std::get<std::vector<SequenceRange>>(std::move(intervals)),
                   std::get<std::vector<SequenceRange>>(std::move(skipped))};
}

std::vector<std::string_view> split_lines(std::string_view body, std::size_t most) {
  std::vector<std::string_view> lines;
  while (!body.empty() && lines.size() <= most) {
    const auto end = std::min(body.find('\n'), body.size());
    const std::string_view line = trim_blanks(body.substr(0, end));
    if (!line.empty()) lines.push_back(line);
    body.remove_prefix(std::min(end + 1, body.size()));
  }
  return lines;
}

// The texts of the records, one more than `most` where there are too many. Only where
// `may_be_empty` is a body in JSON without any value right.
std::variant<std::vector<std::string_view>, HttpError> split_body(std::string_view body, bool lines,
                                                                  bool may_be_empty,
                                                                  std::size_t most) {
  if (lines) return split_lines(body, most);
  body = trim_blanks(body);
  if (body.empty() && may_be_empty) return std::vector<std::string_view>{};
  if (body.empty()) return HttpError{400, "the body is empty"};
  if (body.front() != '[') return std::vector<std::string_view>{body};
  auto parts = split_json(body, most);
  if (!parts) return HttpError{400, "the body is not a valid JSON array"};
  return *std::move(parts);
}

// `"name":value` of an object's text with another name.
std::string rename_member(std::string_view member, std::string_view name) {
  std::size_t end = 1;
  while (member[end] != '"') end += member[end] == '\\' ? 2 : 1;
  return '"' + std::string(name) + std::string(member.substr(end));
}

// Reads one record after the other, with a parser that keeps its memory.
class RecordParser {
 public:
  explicit RecordParser(std::int64_t now_us) : now_us_(now_us) {}

  // `text` must be followed by SIMDJSON_PADDING readable bytes. The reason, if it is bad.
  std::optional<std::string> parse(std::string_view text, Record& record);

 private:
  simdjson::error_code parse_json(std::string_view text, dom::element& root);
  std::optional<std::string> read_member(std::string_view name, dom::element value, Record& record);
  void replace_ids(std::string& json) const;

  const std::int64_t now_us_;
  dom::parser parser_;
  // Members of the record at hand.
  bool has_message_ = false;
  bool has_timestamp_ = false;
  std::vector<std::size_t> ids_;  // positions of members that are called "id"
};

simdjson::error_code RecordParser::parse_json(std::string_view text, dom::element& root) {
  const auto error = parser_.parse(text.data(), text.size(), false).get(root);
  if (error != simdjson::NUMBER_ERROR) return error;
  std::string copy(text);
  if (!blank_long_numbers(copy)) return error;
  return parser_.parse(copy).get(root);
}

std::optional<std::string> RecordParser::parse(std::string_view text, Record& record) {
  has_message_ = has_timestamp_ = false;
  ids_.clear();
  record.time_us = now_us_;

  dom::element root;
  if (const auto error = parse_json(text, root); error != simdjson::SUCCESS) {
    return std::string("is not valid JSON: ") + simdjson::error_message(error);
  }
  dom::object object;
  if (root.get(object) != simdjson::SUCCESS) return "is not a JSON object";
  std::size_t position = 0;
  for (const dom::key_value_pair member : object) {
    if (auto reason = read_member(member.key, member.value, record)) return reason;
    if (member.key == "id") ids_.push_back(position);
    ++position;
  }
  if (!has_message_) return "has no message";

  record.json.assign(text);
  if (!ids_.empty()) replace_ids(record.json);
  if (!has_timestamp_) {
    record.json.insert(1, "\"timestamp\":\"" + timestamp_text(now_us_) + "\",");
  }
  return std::nullopt;
}

// Of fields that come twice the last counts, as with most readers of JSON.
std::optional<std::string> RecordParser::read_member(std::string_view name, dom::element value,
                                                     Record& record) {
  const bool known = name == "message" || name == "timestamp" || name == "level" ||
                     name == "logger_name" || name == "host";
  if (!known) return std::nullopt;
  std::string_view text;
  if (value.get(text) != simdjson::SUCCESS) return std::string(name) + " is not a string";
  if (name == "message") {
    has_message_ = true;
  } else if (name == "timestamp") {
    const auto time_us = parse_timestamp(text);
    if (!time_us) return "timestamp is not ISO 8601 with an offset";
    record.time_us = *time_us;
    has_timestamp_ = true;
  } else if (name == "level") {
    record.level = text;
  } else if (name == "logger_name") {
    record.logger = text;
  } else {
    record.host = text;
  }
  return std::nullopt;
}

// "id" is the name of the store's own number in answers.
void RecordParser::replace_ids(std::string& json) const {
  const auto members = split_json(json, json.size());
  if (!members) return;  // cannot be: the parser took it
  std::string renamed = "{";
  for (std::size_t i = 0; i < members->size(); ++i) {
    if (i > 0) renamed += ',';
    const bool is_id = std::find(ids_.begin(), ids_.end(), i) != ids_.end();
    renamed += is_id ? rename_member((*members)[i], "record_id") : std::string((*members)[i]);
  }
  json = renamed + '}';
}

// Steps through the numbers of intervals.
class SequenceCursor {
 public:
  explicit SequenceCursor(const std::vector<SequenceRange>& intervals) : intervals_(intervals) {}

  std::optional<std::uint64_t> next() {
    if (index_ == intervals_.size()) return std::nullopt;
    const SequenceRange& interval = intervals_[index_];
    const std::uint64_t number = interval.first + offset_;
    ++offset_;
    if (number == interval.last) {
      ++index_;
      offset_ = 0;
    }
    return number;
  }

 private:
  const std::vector<SequenceRange>& intervals_;
  std::size_t index_ = 0;
  std::uint64_t offset_ = 0;
};

Ingest read_records(const std::vector<std::string_view>& texts, Numbering numbering,
                    std::int64_t now_us) {
  Ingest ingest;
  ingest.batch.records.reserve(texts.size());
  RecordParser parser(now_us);
  SequenceCursor sequence(numbering.intervals);
  for (std::size_t index = 0; index < texts.size(); ++index) {
    Record record;
    record.sequence = sequence.next();
    if (auto reason = parser.parse(texts[index], record)) {
      ingest.bad.push_back({index, *std::move(reason)});
    } else {
      ingest.batch.records.push_back(std::move(record));
    }
  }
  ingest.batch.journal = std::move(numbering.journal);
  ingest.batch.skipped = std::move(numbering.skipped);
  ingest.batch.received_us = now_us;
  return ingest;
}

}  // namespace

std::optional<HttpError> check_ingest_headers(const HttpRequest& head) {
  const std::string_view type = media_type(head);
  if (!equal_ignoring_case(type, kJson) && !equal_ignoring_case(type, kNdjson)) {
    return HttpError{415, "Content-Type must be application/json or application/x-ndjson"};
  }
  auto numbering = read_numbering(head);
  if (auto* error = std::get_if<HttpError>(&numbering)) return *error;
  return std::nullopt;
}

std::variant<Ingest, HttpError> parse_ingest(HttpRequest request, const IngestLimits& limits,
                                             std::int64_t now_us) {
  if (auto error = check_ingest_headers(request)) return *error;
  auto numbering = std::get<Numbering>(read_numbering(request));
  auto decompressed = decompress(std::move(request.body),
                                 request.header("Content-Encoding").value_or(""), limits.max_bytes);
  if (auto* error = std::get_if<HttpError>(&decompressed)) return *error;
  auto& body = std::get<std::string>(decompressed);
  const std::size_t size = body.size();
  if (size > limits.max_bytes) {
    return HttpError{413, "the body is longer than " + std::to_string(limits.max_bytes) + " bytes"};
  }
  body.append(simdjson::SIMDJSON_PADDING, ' ');

  const bool lines = equal_ignoring_case(media_type(request), kNdjson);
  auto split = split_body(std::string_view(body).substr(0, size), lines, !numbering.skipped.empty(),
                          limits.max_records);
  if (auto* error = std::get_if<HttpError>(&split)) return *error;
  const auto& texts = std::get<std::vector<std::string_view>>(split);
  if (texts.size() > limits.max_records) {
    return HttpError{413, "more than " + std::to_string(limits.max_records) + " records"};
  }
  if (!numbering.journal.empty() && count_numbers(numbering.intervals) != texts.size()) {
    return HttpError{400, std::string(kSequenceHeader) + " names " +
                              std::to_string(count_numbers(numbering.intervals)) +
                              " records, the body has " + std::to_string(texts.size())};
  }
  return read_records(texts, std::move(numbering), now_us);
}

HttpResponse ingest_response(const Appended& appended, const std::vector<BadRecord>& bad) {
  if (!appended.status.ok()) {
    HttpResponse response = error_response({503, "the store failed: " + appended.status.message()});
    response.headers.emplace_back("Retry-After", "1");
    return response;
  }
  JsonWriter json;
  json.begin_object();
  json.key("stored");
  json.integer(static_cast<std::int64_t>(appended.stored));
  json.key("duplicates");
  json.integer(static_cast<std::int64_t>(appended.duplicates));
  if (!bad.empty()) {
    json.key("errors");
    json.begin_array();
    for (const BadRecord& each : bad) {
      json.begin_object();
      json.key("index");
      json.integer(static_cast<std::int64_t>(each.index));
      json.key("reason");
      json.string(each.reason);
      json.end_object();
    }
    json.end_array();
  }
  json.end_object();
  return {bad.empty() ? 200 : 400, std::string(json.text()), {}};
}

}  // namespace log_aggregator::collector
