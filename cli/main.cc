#include <cstdio>
#include <string>

#include "cli/commands.h"
#include "cli/terminal_text.h"

namespace log_aggregator::cli {

void print_error(std::string_view message) {
  const std::string line = "log-aggregator: " + neutralised(message) + "\n";
  std::fputs(line.c_str(), stderr);
}

int fail(const Status& status) {
  print_error(status.message());
  return status.code() == StatusCode::invalid_argument ? 2 : 1;
}

namespace {

int run_command_line(int argc, char** argv) {
  CLI::App app("Collects log records, and shows what is collected.", "log-aggregator");
  app.set_version_flag("--version", "log-aggregator " LOG_AGGREGATOR_VERSION);
  app.require_subcommand(1);
  app.footer(
      "Examples:\n"
      "  log-aggregator serve\n"
      "  log-aggregator tail --endpoint http://127.0.0.1:8080/api/logs\n\n"
      "log-aggregator COMMAND --help explains one command.");
  Run run;
  add_serve_command(app, run);
  add_check_command(app, run);
  add_tail_command(app, run);
  add_search_command(app, run);
  add_gaps_command(app, run);
  add_send_command(app, run);
  add_spool_command(app, run);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& success) {  // --help, --version
    return app.exit(success);
  } catch (const CLI::ParseError& error) {
    print_error(std::string(error.what()) + " (--help shows what there is)");
    return 2;
  }
  return run();
}

}  // namespace
}  // namespace log_aggregator::cli

int main(int argc, char** argv) {
  try {
    return log_aggregator::cli::run_command_line(argc, argv);
  } catch (const std::exception& error) {
    log_aggregator::cli::print_error(error.what());
    return 1;
  }
}
