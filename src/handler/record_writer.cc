#include "src/handler/record_writer.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "src/base/same_text.h"
#include "src/base/time_text.h"

namespace log_aggregator {
namespace {

// Behind {"timestamp":"
constexpr std::size_t kTimestampAt = 14;

constexpr std::string_view kMessage = R"(,"message":")";

constexpr std::string_view kCutMark = "\xE2\x80\xA6[cut]";  // an ellipsis, then [cut]

// The largest length <= `length` at which `escaped`, the inside of a JSON string, can be cut
// without splitting an escape or a character.
std::size_t cut_boundary(std::string_view escaped, std::size_t length) {
  while (length > 0 && (static_cast<unsigned char>(escaped[length]) & 0xC0) == 0x80) --length;
  const std::size_t longest_escape = 6;  // \u001f
  for (std::size_t back = 1; back < longest_escape && back <= length; ++back) {
    const std::size_t at = length - back;
    if (escaped[at] != '\\') continue;
    std::size_t run = 1;
    while (run <= at && escaped[at - run] == '\\') ++run;
    if (run % 2 == 0) return length;  // escaped backslashes only: nothing is open
    const std::size_t escape_length = escaped[at + 1] == 'u' ? 6 : 2;
    return back < escape_length ? at : length;
  }
  return length;
}

// What is beyond the last whole second.
int microseconds_of(std::int64_t unix_microseconds) {
  constexpr int kMicrosecondsPerSecond = 1'000'000;
  const auto rest = static_cast<int>(unix_microseconds % kMicrosecondsPerSecond);
  return rest < 0 ? rest + kMicrosecondsPerSecond : rest;
}

std::int64_t unix_microseconds_now() {
  return std::chrono::duration_cast<std::chrono::microseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

}  // namespace

std::string record_prefix(std::string_view host, const std::vector<StaticField>& fields) {
  JsonWriter json;
  json.begin_object();
  json.key("host");
  json.string(host);
  for (const StaticField& field : fields) {
    json.key(field.name);
    json.raw(field.json);
  }
  return std::string(json.text().substr(1));
}

RecordWriter::RecordWriter(std::string prefix, std::size_t max_record_bytes)
    : prefix_(std::move(prefix)), max_bytes_(max_record_bytes) {}

void RecordWriter::begin(std::int64_t unix_microseconds, std::string_view level) {
  std::string_view head = head_at(unix_microseconds, level);
  head.remove_suffix(kMessage.size());
  json_.verbatim(head);
  write_microseconds();
}

void RecordWriter::begin(std::int64_t unix_microseconds, std::string_view level,
                         std::string_view message, std::string_view rest) {
  const std::string_view head = head_at(unix_microseconds, level);
  message_.begin = head.size();
  message_.end = head.size() + json_.escaped_between(head, message.substr(0, max_bytes_), rest);
  write_microseconds();
}

// What a record begins with in the second of that time, up to its message's text.
std::string_view RecordWriter::head_at(std::int64_t unix_microseconds, std::string_view level) {
  reset();
  begun_ = true;
  begun_at_ = std::clamp(unix_microseconds, kFirstTimestampUs, kLastTimestampUs);
  Head& head = head_of(level);
  const std::int64_t second = begun_at_ - microseconds_of(begun_at_);
  if (second != head.second) {
    format_timestamp(second, head.json.data() + kTimestampAt);
    head.second = second;
  }
  return head.json;
}

// Not into the head: the processor lets a copy wait for what was written just before into what is
// copied.
void RecordWriter::write_microseconds() {
  format_microseconds(microseconds_of(begun_at_), json_.data() + kTimestampAt);
}

RecordWriter::Head& RecordWriter::head_of(std::string_view level) {
  for (Head& head : heads_) {
    if (same_text(head.level, level) && !head.json.empty()) return head;
  }
  return make_head(level);
}

RecordWriter::Head& RecordWriter::make_head(std::string_view level) {
  JsonWriter json;
  json.begin_object();
  json.key("timestamp");
  json.string(std::string(kTimestampLength, '0'));
  json.key("level");
  json.string(level.substr(0, max_bytes_));
  json.raw(prefix_);
  json.verbatim(kMessage);
  Head& head = heads_[next_head_];
  next_head_ = (next_head_ + 1) % heads_.size();
  head = {.level = std::string(level), .json = std::string(json.text())};
  return head;
}

void RecordWriter::reset() {
  json_.clear();
  begun_ = false;
  message_ = exception_ = stack_ = extra_ = {};
}

void RecordWriter::message(std::string_view utf8) { text_part(kMessage, utf8, message_); }
void RecordWriter::exception(std::string_view utf8) {
  text_part(R"(,"exception":")", utf8, exception_);
}
void RecordWriter::stack(std::string_view utf8) { text_part(R"(,"stack":")", utf8, stack_); }

void RecordWriter::field(std::string_view name, std::string_view utf8) {
  json_.member(name, utf8.substr(0, max_bytes_));
}

void RecordWriter::field(std::string_view name, std::int64_t value) { json_.member(name, value); }

void RecordWriter::begin_message() { begin_part(kMessage, message_); }
void RecordWriter::end_message() { end_part(message_); }

// What is longer than the whole record may be is not even escaped to its end.
void RecordWriter::append_long_message(std::string_view utf8) {
  const std::size_t written = json_.size() - message_.begin;
  if (written < max_bytes_) json_.append_string(utf8.substr(0, max_bytes_));
}

// `opening`: what stands before the text. A record never begins with it.
void RecordWriter::begin_part(std::string_view opening, Part& part) {
  json_.verbatim(opening);
  part.begin = json_.size();
}

void RecordWriter::end_part(Part& part) {
  part.end = json_.size();
  json_.end_string();
}

// As append_message() does.
void RecordWriter::text_part(std::string_view opening, std::string_view utf8, Part& part) {
  begin_part(opening, part);
  json_.append_string(utf8.substr(0, max_bytes_));
  end_part(part);
}

void RecordWriter::begin_extra() {
  json_.verbatim(R"(,"extra":{)");  // a record never begins with it
  extra_.begin = json_.size();
  constexpr std::size_t kEnd = kCutExtra.size() + 3;  // a comma, and two braces
  extra_limit_ = std::max(max_bytes_, extra_.begin + max_bytes_ / 2) - kEnd;
}

void RecordWriter::end_extra() {
  extra_.end = json_.size();
  json_.end_object();
}

std::string_view RecordWriter::finish() {
  json_.end_object();
  return full() ? cut() : json_.text();
}

std::string_view RecordWriter::cut() {
  for (Part* part : {&message_, &exception_, &stack_}) {
    cut_text(*part);
    if (!full()) return json_.text();
  }
  cut_extra();
  return finish_custom();
}

std::string_view RecordWriter::finish_custom() {
  if (full()) {
    begin(begun_ ? begun_at_ : unix_microseconds_now(), "WARNING");
    json_.key("message");
    json_.string("A log record was left out: its fields alone exceed max_record_bytes.");
    json_.end_object();
  }
  return json_.text();
}

// Cuts as much as the record is too long by; a part that is not long enough for that keeps only
// the mark.
void RecordWriter::cut_text(Part& part) {
  if (part.size() <= kCutMark.size()) return;
  const std::size_t excess = json_.size() - max_bytes_ + kCutMark.size();
  const std::string_view text = json_.text().substr(part.begin, part.size());
  const std::size_t keep =
      text.size() > excess ? cut_boundary(text, text.size() - excess) : std::size_t{0};
  const std::size_t removed = part.size() - keep - kCutMark.size();
  json_.replace(part.begin + keep, part.size() - keep, kCutMark);
  shift_parts(part.begin, removed);
}

void RecordWriter::cut_extra() {
  if (extra_.size() <= kCutExtra.size()) return;
  json_.replace(extra_.begin, extra_.size(), kCutExtra);
}

// The parts behind one that was cut have moved.
void RecordWriter::shift_parts(std::size_t from, std::size_t removed) {
  for (Part* part : {&message_, &exception_, &stack_, &extra_}) {
    if (part->begin <= from) continue;
    part->begin -= removed;
    part->end -= removed;
  }
}

}  // namespace log_aggregator
