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
#include "src/base/text.h"

namespace log_aggregator::cli {

namespace {

struct CrashesOptions {
  std::string directory;  // "-": records from standard input
  bool json = false;
};

// On Demand hands out numbers as they are written, integers past 64 bits included.
namespace ondemand = simdjson::ondemand;

simdjson::error_code copy_member(ondemand::field member, Symbols& symbols, JsonWriter& json) {
  std::string_view name;
  if (const auto error = member.unescaped_key().get(name)) return error;
  json.key(name);
  const bool is_stack = name == "stack";
  ondemand::value value = member.value();
  std::string_view text;
  if (is_stack && value.get_string().get(text) == simdjson::SUCCESS) {
    json.string(symbols.of_stack(text));
    return simdjson::SUCCESS;
  }
  if (const auto error = simdjson::to_json_string(value).get(text)) return error;
  json.raw(text);
  return simdjson::SUCCESS;
}

simdjson::error_code copy_record(ondemand::document& record, Symbols& symbols, JsonWriter& json) {
  ondemand::object members;
  if (const auto error = record.get_object().get(members)) return error;
  json.begin_object();
  for (auto found : members) {
    ondemand::field member;
    if (const auto error = std::move(found).get(member)) return error;
    if (const auto error = copy_member(member, symbols, json)) return error;
  }
  json.end_object();
  return simdjson::SUCCESS;
}

// The record with functions and lines in its stack.
Result<std::string> with_symbols(const std::string& record, Symbols& symbols) {
  const simdjson::padded_string text(record);
  ondemand::parser parser;
  ondemand::document document;
  JsonWriter json;
  if (parser.iterate(text).get(document) != simdjson::SUCCESS ||
      copy_record(document, symbols, json) != simdjson::SUCCESS) {
    return Status::invalid_argument("not a record: it must be a JSON object in one line");
  }
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
    for (std::string line; std::getline(std::cin, line);) {
      if (!trim_blanks(line).empty()) records.push_back(line);
    }
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
  int code = 0;
  for (const std::string& record : *records) {
    if (Status printed = print(record, options.json, symbols); !printed.ok()) code = fail(printed);
  }
  if (std::fflush(stdout) != 0) {
    return fail(Status::unavailable("cannot write to standard output"));
  }
  for (const std::string& line : symbols.trouble()) print_error(line);
  return code;
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
