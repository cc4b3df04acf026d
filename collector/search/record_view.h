// RecordView: one record's JSON, opened for searching in one pass: its texts, and its other members
// as fields with a path.

#pragma once

#include <simdjson.h>

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace log_aggregator::collector {

// A member of the record, or of an object in it. Where it holds no object or array itself, it has a
// value.
struct RecordField {
  static constexpr std::size_t kNoParent = static_cast<std::size_t>(-1);

  std::string_view name;
  std::size_t parent = kNoParent;  // the field that it is a member of
  bool standard = false;           // beside the message, and one that every record has
  bool has_value = false;
  std::string_view value;  // of strings their text, of anything else as it is written
};

// Keeps its memory from one record to the next; views are valid until the next read().
class RecordView {
 public:
  // `json` is a valid object. What lies deeper than the parser goes (1,024), and fields after the
  // first 100,000, are left out.
  void read(std::string_view json);

  std::string_view message() const { return message_; }
  std::string_view exception() const { return exception_; }
  std::string_view level() const { return level_; }
  std::string_view logger() const { return logger_; }
  std::string_view host() const { return host_; }

  // Members of `extra` stand beside those of the record itself. The elements of an array are fields
  // of the array's own name.
  const std::vector<RecordField>& fields() const { return fields_; }

  // Whether `path` ("a.b") leads to the field.
  bool is_at(const RecordField& field, std::string_view path) const;
  // Of a path of at most `most` bytes; empty where it is longer.
  std::string path_of(const RecordField& field, std::size_t most) const;

 private:
  void read_members(simdjson::ondemand::object object, std::size_t parent, bool of_record);
  void read_value(simdjson::ondemand::value value, std::size_t field);
  void keep_text(const RecordField& field);

  simdjson::ondemand::parser parser_;
  std::string json_;  // with the padding that the parser reads into
  std::vector<RecordField> fields_;
  std::string_view message_;
  std::string_view exception_;
  std::string_view level_;
  std::string_view logger_;
  std::string_view host_;
};

// Whether a record has a member of this name beside its extra fields, as all records do.
bool is_standard_field(std::string_view name);

}  // namespace log_aggregator::collector
