// Matcher: asks selections of one record at a time, with the answer that the store's index would
// give. For one thread.

#pragma once

#include <optional>
#include <string_view>

#include "collector/search/filter.h"
#include "collector/search/record_view.h"
#include "collector/search/words.h"

namespace log_aggregator::collector {

class Matcher {
 public:
  // The record of the questions that follow: a valid JSON object, which must stay. It is read when
  // a question needs it, and once.
  void look_at(std::string_view json);

  bool matches(const Selection& selection);
  bool matches(const Filter& filter);

 private:
  bool matches(const Term& term);
  bool matches(const TextTerm& term);
  bool matches(const NameTerm& term);
  bool matches(const FieldTerm& term);

  const RecordView& record();

  struct Column {
    Words words;
    bool split = false;
  };
  const Words& words(Column& column, std::string_view text);

  std::string_view json_;
  bool is_read_ = false;
  RecordView view_;
  Column message_;
  Column logger_;
  Column exception_;
};

}  // namespace log_aggregator::collector
