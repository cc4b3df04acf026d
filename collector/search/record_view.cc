#include "collector/search/record_view.h"

#include <algorithm>

#include "src/base/text.h"

namespace log_aggregator::collector {

namespace {

namespace ondemand = simdjson::ondemand;

// Of hostile records: what comes after these is not searched.
constexpr std::size_t kMaxFields = 100'000;

constexpr std::string_view kStandardFields[] = {
    "timestamp", "level",      "message",  "host",      "host_process", "logger_name",
    "module",    "filename",   "pathname", "lineno",    "funcName",     "process",
    "thread",    "threadName", "taskName", "exception", "processName",  "stack",
};

}  // namespace

bool is_standard_field(std::string_view name) {
  return std::find(std::begin(kStandardFields), std::end(kStandardFields), name) !=
         std::end(kStandardFields);
}

void RecordView::read(std::string_view json) {
  fields_.clear();
  message_ = exception_ = level_ = logger_ = host_ = {};
  json_.reserve(json.size() + simdjson::SIMDJSON_PADDING);
  json_ = json;
  ondemand::document document;
  ondemand::object object;
  if (parser_.iterate(json_.data(), json_.size(), json_.capacity()).get(document) !=
          simdjson::SUCCESS ||
      document.get_object().get(object) != simdjson::SUCCESS) {
    return;
  }
  read_members(object, RecordField::kNoParent, true);
}

void RecordView::read_members(ondemand::object object, std::size_t parent, bool of_record) {
  for (auto each : object) {
    ondemand::field member;
    if (std::move(each).get(member) != simdjson::SUCCESS) return;
    RecordField field;
    if (member.unescaped_key().get(field.name) != simdjson::SUCCESS) return;
    ondemand::value value = member.value();
    ondemand::json_type type{};
    if (value.type().get(type) != simdjson::SUCCESS) return;
    if (of_record && field.name == "extra" && type == ondemand::json_type::object) {
      ondemand::object extra;
      if (value.get_object().get(extra) != simdjson::SUCCESS) return;
      read_members(extra, RecordField::kNoParent, false);
      continue;
    }
    field.parent = parent;
    field.standard = of_record && is_standard_field(field.name);
    if (fields_.size() >= kMaxFields && !field.standard) continue;
    fields_.push_back(field);
    const std::size_t index = fields_.size() - 1;
    read_value(value, index);
    if (fields_[index].standard) keep_text(fields_[index]);
  }
}

// May add fields, so that references to them do not last.
void RecordView::read_value(ondemand::value value, std::size_t field) {
  ondemand::json_type type{};
  if (value.type().get(type) != simdjson::SUCCESS) return;
  if (type == ondemand::json_type::object) {
    ondemand::object object;
    if (value.get_object().get(object) == simdjson::SUCCESS) read_members(object, field, false);
    return;
  }
  if (type == ondemand::json_type::array) {
    ondemand::array array;
    if (value.get_array().get(array) != simdjson::SUCCESS) return;
    for (auto element : array) {
      if (element.error() != simdjson::SUCCESS || fields_.size() >= kMaxFields) return;
      RecordField again = fields_[field];
      again.has_value = false;
      fields_.push_back(again);
      read_value(element.value_unsafe(), fields_.size() - 1);
    }
    return;
  }
  std::string_view text;
  if (type == ondemand::json_type::string) {
    if (value.get_string().get(text) != simdjson::SUCCESS) return;
  } else {
    text = trim_blanks(value.raw_json_token());
  }
  fields_[field].value = text;
  fields_[field].has_value = true;
}

// Of members that come twice the last counts, as on the way in.
void RecordView::keep_text(const RecordField& field) {
  if (field.name == "message") message_ = field.value;
  if (field.name == "exception") exception_ = field.value;
  if (field.name == "level") level_ = field.value;
  if (field.name == "logger_name") logger_ = field.value;
  if (field.name == "host") host_ = field.value;
}

bool RecordView::is_at(const RecordField& field, std::string_view path) const {
  const RecordField* at = &field;
  while (path.ends_with(at->name)) {
    path.remove_suffix(at->name.size());
    if (at->parent == RecordField::kNoParent) return path.empty();
    if (!path.ends_with('.')) return false;
    path.remove_suffix(1);
    at = &fields_[at->parent];
  }
  return false;
}

std::string RecordView::path_of(const RecordField& field, std::size_t most) const {
  std::string path(field.name);
  for (std::size_t at = field.parent; at != RecordField::kNoParent; at = fields_[at].parent) {
    if (path.size() + fields_[at].name.size() >= most) return {};
    path.insert(0, 1, '.');
    path.insert(0, fields_[at].name);
  }
  return path.size() > most ? std::string() : path;
}

}  // namespace log_aggregator::collector
