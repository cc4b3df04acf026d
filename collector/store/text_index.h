// The full-text index of the store: which words, and which values of extra fields, stand in which
// record. It is found from the newest record back, without reading any.
//
// A store may do without it: then searching reads records instead.

#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "collector/search/filter.h"
#include "collector/search/record_view.h"
#include "collector/store/sqlite.h"
#include "log_aggregator/status.h"

namespace log_aggregator::collector {

// Makes the index where it is wanted and not there, of all records that are, or removes it where it
// is not wanted; one transaction.
Status prepare_text_index(Database& database, bool wanted);

Result<bool> has_text_index(Database& database);

// Adds records to the index. For one thread.
class TextIndex {
 public:
  static Result<TextIndex> prepare(Database& database);

  // On false, Database::error() says what went wrong.
  bool add(std::int64_t id, std::string_view json);

 private:
  Statement insert_;
  RecordView record_;
  std::string fields_;
};

// The records that a filter may select, in the language of FTS5; empty where the index does not
// help. `exact`: for each term whether the index has answered it in full.
struct TextMatch {
  std::string expression;
  std::vector<bool> exact;
};
TextMatch match_expression(const Filter& filter);

}  // namespace log_aggregator::collector
