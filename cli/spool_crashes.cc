// `log-aggregator spool crashes`: what the crashes that a spool tells of have been.

#include "cli/spool_crashes.h"

#include <simdjson.h>
#include <unistd.h>

#include <cstdio>
#include <iostream>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "cli/record_text.h"
#include "cli/symbols.h"
#include "cli/terminal_text.h"
#include "log_aggregator/json_writer.h"
#include "log_aggregator/spool.h"

namespace log_aggregator::cli {

namespace {

struct CrashesOptions {
  std::string directory;  // "-": records from standard input
  bool json = false;
};

// The record with functions and lines in its stack.
Result<std::string> with_symbols(const std::string& record, Symbols& symbols) {
  simdjson::dom::parser parser;
  simdjson::dom::object members;
  if (parser.parse(record).get(members) != simdjson::SUCCESS) {
    return Status::invalid_argument("not a record: it must be a JSON object in one line");
  }
  JsonWriter json;
  json.begin_object();
  for (const auto& [name, value] : members) {
    json.key(name);
    std::string_view stack;
    if (name == "stack" && value.get(stack) == simdjson::SUCCESS) {
      json.string(symbols.of_stack(stack));
    } else {
      json.raw(simdjson::minify(value));
    }
  }
  json.end_object();
  return std::string(json.text());
}

Status print(const std::string& record, bool json, Symbols& symbols) {
  auto text = with_symbols(record, symbols);
  if (text.ok()) {
    text = json ? neutralised_json(*text) + '\n' : record_text(*text, ::isatty(STDOUT_FILENO) != 0);
  }
  if (text.ok()) std::fwrite(text->data(), 1, text->size(), stdout);
  return text.status();
}

Result<std::vector<std::string>> records_of(const std::string& directory) {
  std::vector<std::string> records;
  if (directory == "-") {
    for (std::string line; std::getline(std::cin, line);) records.push_back(line);
    return records;
  }
  auto crashes = read_crashes(directory);
  if (!crashes.ok()) return crashes.status();
  for (SpooledCrash& crash : *crashes) records.push_back(std::move(crash.record));
  return records;
}

int crashes(const CrashesOptions& options) {
  const auto records = records_of(options.directory);
  if (!records.ok()) return fail(records.status());
  Symbols symbols;
  for (const std::string& record : *records) {
    if (Status printed = print(record, options.json, symbols); !printed.ok()) return fail(printed);
  }
  if (std::fflush(stdout) != 0) {
    return fail(Status::unavailable("cannot write to standard output"));
  }
  for (const std::string& line : symbols.trouble()) print_error(line);
  return 0;
}

}  // namespace

void add_crashes_command(CLI::App& spool, Run& run) {
  auto options = std::make_shared<CrashesOptions>();
  CLI::App* command =
      spool.add_subcommand("crashes", "Shows the crashes that were not delivered yet, readable");
  command
      ->add_option("DIR", options->directory,
                   "The directory that handlers have as spool_dir; - for records in standard input")
      ->required()
      ->type_name("");
  command->add_flag("--json", options->json, "One JSON object per record, for other programs");
  command->footer(
      "Changes nothing. Functions and lines are looked up by addr2line of binutils, in the files\n"
      "that have crashed as they are on this machine: where one is gone or has been replaced, its\n"
      "places stay offsets.\n\n"
      "A crash that was delivered already:\n"
      "  log-aggregator search --endpoint URL --json logger_name=log_aggregator.crash |\n"
      "    log-aggregator spool crashes -\n\n"
      "Exits with 0, with 1 where the spool cannot be read, with 2 where the call is wrong.");
  command->callback([options, &run] { run = [options] { return crashes(*options); }; });
}

}  // namespace log_aggregator::cli
