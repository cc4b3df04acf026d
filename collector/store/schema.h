// The layout of the store's file: made where the file is new, brought up to date where an earlier
// version made it. A file of something else, or of a later version, is refused and left as it is.

#pragma once

#include "collector/store/sqlite.h"
#include "log_aggregator/status.h"

namespace log_aggregator::collector {

// Each step from one version to the next is a transaction of its own: a process that dies between
// leaves a file that the next one goes on with.
Status prepare_schema(Database& database);

}  // namespace log_aggregator::collector
