// The query for gaps of a SqliteStore's file.

#pragma once

#include "collector/store/sqlite.h"
#include "collector/store/store.h"
#include "log_aggregator/status.h"

namespace log_aggregator::collector {

// All of a page is of one moment, so that what is stored and what is given up belong together.
Result<GapsPage> read_gaps(Database& database, const GapsQuery& query);

}  // namespace log_aggregator::collector
