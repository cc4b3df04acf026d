// RecordWriter writes one canonical record: the JSON object that the API takes, which is also what
// the queue holds and what goes over the wire.
//
//   RecordWriter writer(handler.record_prefix(), handler.options().max_record_bytes);
//   writer.begin(unix_microseconds, "INFO");
//   writer.message("user logged in");
//   writer.field("logger_name", "app.login");
//   writer.begin_extra();
//   writer.json().key("user_id");
//   writer.json().integer(123);
//   writer.end_extra();
//   handler.log_json(20, writer.finish());
//
// Parts may come in any order between begin and finish, each at most once. A record that would be
// longer than the limit is cut: the message first, then exception, stack and extra, each marked as
// cut. Keeps its buffer from record to record. Not thread-safe: one writer for each thread.

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "log_aggregator/json_writer.h"
#include "log_aggregator/options.h"

namespace log_aggregator {

class RecordWriter {
 public:
  // `prefix` is Handler::record_prefix(): the host and the static fields, ready as JSON.
  RecordWriter(std::string prefix, std::size_t max_record_bytes);

  // Starts a record, forgetting any before it. `unix_microseconds` becomes
  // 2025-03-27T08:02:51.123456+00:00; `level` is the API's name for it.
  void begin(std::int64_t unix_microseconds, std::string_view level);
  void message(std::string_view utf8);
  // Both, and what fields() would add, at once, which is faster. `rest` is those fields, behind the
  // quotation mark that ends the message: ","name":"value".
  void begin(std::int64_t unix_microseconds, std::string_view level, std::string_view message,
             std::string_view rest);
  // The message in parts: begin, any number of appends of whole characters, end. What is appended
  // as escaped must be so already, as the inside of a JSON string.
  void begin_message();
  void append_message(std::string_view utf8) {
    if (json_.size() - message_.begin + utf8.size() <= max_bytes_) {
      json_.append_string(utf8);
    } else {
      append_long_message(utf8);
    }
  }
  void append_escaped(std::string_view json) { json_.verbatim(json); }
  void end_message();
  void field(std::string_view name, std::string_view utf8);
  void field(std::string_view name, std::int64_t value);
  // Fields that were encoded before, each with a comma in front, as in ,"name":"value": what is the
  // same in many records need not be encoded in each.
  void fields(std::string_view json) { json_.verbatim(json); }
  void exception(std::string_view utf8);
  void stack(std::string_view utf8);

  // Between these two, keys and values are written to json().
  void begin_extra();
  void end_extra();

  // For values of any shape. While full() is true, a caller should stop adding elements and close
  // what it has open: what follows would be cut in any case.
  JsonWriter& json() { return json_; }
  bool full() const { return json_.size() > max_bytes_; }
  // Between begin_extra() and end_extra(): whether what has been written there takes up more than
  // half of a record, and would be at the expense of its texts. The caller should then roll the
  // last field back and call cut_extra_here().
  bool extra_full() const { return json_.size() > extra_limit_; }
  void cut_extra_here() { json_.raw(kCutExtra); }

  // The whole record, valid until the next begin().
  std::string_view finish();

  // Makes `json`, an object with fields of the caller's choice written by json() after reset(), a
  // record as it is. Longer than the limit, it is replaced by a record that says so.
  void reset();
  std::string_view finish_custom();

  // Lets go of the buffer's memory.
  void release() { json_ = JsonWriter(); }

 private:
  static constexpr std::string_view kCutExtra = R"("cut":true)";

  // Where a part that may be cut lies in the buffer: the inside of its quotes or braces.
  struct Part {
    std::size_t begin = 0;
    std::size_t end = 0;
    std::size_t size() const { return end - begin; }
  };

  // What records of one level begin with, up to their message's text.
  struct Head {
    std::string level;
    std::string json;
    std::int64_t second = INT64_MIN;  // of the timestamp in it, in microseconds
  };

  void append_long_message(std::string_view utf8);
  Head& head_of(std::string_view level);
  [[gnu::cold]] Head& make_head(std::string_view level);
  std::string_view head_at(std::int64_t unix_microseconds, std::string_view level);
  void write_microseconds();
  void begin_part(std::string_view opening, Part& part);
  void end_part(Part& part);
  void text_part(std::string_view opening, std::string_view utf8, Part& part);
  [[gnu::cold]] std::string_view cut();
  void cut_text(Part& part);
  void cut_extra();
  void shift_parts(std::size_t from, std::size_t removed);

  const std::string prefix_;
  const std::size_t max_bytes_;
  JsonWriter json_;
  Part message_, exception_, stack_, extra_;
  std::size_t extra_limit_ = 0;
  std::array<Head, 8> heads_;  // of the levels that were written last
  std::size_t next_head_ = 0;  // to be given to another level
  bool begun_ = false;         // by begin(), at that time; else by reset()
  std::int64_t begun_at_ = 0;
};

// "host":"...","service":"..." as RecordWriter's constructor takes it.
std::string record_prefix(std::string_view host, const std::vector<StaticField>& fields);

}  // namespace log_aggregator
