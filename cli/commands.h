// The commands of the program, one file each. Adding one to the application makes it known to the
// command line; choosing it sets `run` to what it does, which returns the exit code: 0 for success,
// 1 where something outside failed, 2 where the call was wrong.

#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string_view>

#include "log_aggregator/status.h"

namespace log_aggregator::cli {

using Run = std::function<int()>;

void add_serve_command(CLI::App& app, Run& run);
void add_check_command(CLI::App& app, Run& run);
void add_tail_command(CLI::App& app, Run& run);
void add_search_command(CLI::App& app, Run& run);
void add_gaps_command(CLI::App& app, Run& run);
void add_spool_command(CLI::App& app, Run& run);
void add_send_command(CLI::App& app, Run& run);

// One line on standard error.
void print_error(std::string_view message);

// Says on standard error what is wrong, and returns the exit code for it.
int fail(const Status& status);

}  // namespace log_aggregator::cli
