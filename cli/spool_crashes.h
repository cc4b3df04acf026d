// `log-aggregator spool crashes`, of the command `log-aggregator spool`.

#pragma once

#include "cli/commands.h"

namespace log_aggregator::cli {

void add_crashes_command(CLI::App& spool, Run& run);

}  // namespace log_aggregator::cli
