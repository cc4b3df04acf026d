// Queries of SqliteStore for records: how to find them quickly.
//
// What the full-text index or SQL cannot answer for sure is asked of each record that they leave,
// by a Matcher. A query without words starts with a walk through the newest records, where a page
// of a common kind is found at once, and goes to an index only if that was not enough.

#pragma once

#include <vector>

#include "collector/store/sqlite.h"
#include "collector/store/store.h"
#include "log_aggregator/status.h"

namespace log_aggregator::collector {

Result<Page> find_page(Database& database, const Query& query);

Result<std::vector<HistogramCount>> count_by_time(Database& database, const HistogramQuery& query);

Result<std::optional<StoredRecord>> find_record(Database& database, std::int64_t id);

Result<std::vector<StoredRecord>> read_records_after(Database& database, std::int64_t id,
                                                     std::size_t most_bytes);

}  // namespace log_aggregator::collector
