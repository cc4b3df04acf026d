// `log-aggregator spool`: what processes that are gone have left in a spool directory.

#include "log_aggregator/spool.h"

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cli/client.h"
#include "cli/commands.h"
#include "cli/spool_crashes.h"
#include "cli/spool_text.h"
#include "cli/stop_on_signal.h"
#include "cli/terminal_line.h"
#include "cli/terminal_text.h"
#include "log_aggregator/json_writer.h"
#include "src/base/time_text.h"

namespace log_aggregator::cli {

namespace {

using Seconds = std::chrono::duration<double>;

constexpr auto kBarInterval = std::chrono::milliseconds(100);
constexpr auto kLineInterval = std::chrono::seconds(10);

struct LookOptions {
  std::string directory;
  bool json = false;
};

struct DrainOptions {
  ClientOptions client;
  std::string directory;
  double timeout_s = 5;
  int retries = 3;
  double retry_delay_s = 1;
  std::size_t batch_size = 0;
  bool quiet = false;
};

// The exit code of a command that has printed its result.
int finish_output(int code) {
  if (std::fflush(stdout) == 0) return code;
  return fail(Status::unavailable("cannot write to standard output"));
}

void print_json(const JsonWriter& json) {
  std::printf("%s\n", neutralised_json(json.text()).c_str());
}

void write_number(JsonWriter& json, std::string_view name, std::uint64_t number) {
  json.key(name);
  json.raw(std::to_string(number));
}

void write_text(JsonWriter& json, std::string_view name, std::string_view text) {
  json.key(name);
  json.string(text);
}

// ---- list

std::string age_since(std::int64_t time_ns) {
  if (time_ns == 0) return "-";
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return age_text(std::chrono::duration_cast<std::chrono::nanoseconds>(now) -
                  std::chrono::nanoseconds(time_ns));
}

void write_time(JsonWriter& json, std::string_view name, std::int64_t time_ns) {
  json.key(name);
  if (time_ns == 0) {
    json.null();
    return;
  }
  char text[kTimestampLength];
  format_timestamp(time_ns / 1000, text);
  json.string({text, kTimestampLength});
}

void print_journal_json(const SpooledJournal& journal) {
  JsonWriter json;
  json.begin_object();
  write_text(json, "journal", journal.id);
  json.key("in_use");
  json.boolean(journal.in_use);
  write_number(json, "records", journal.records);
  write_number(json, "record_bytes", journal.record_bytes);
  write_time(json, "oldest", journal.oldest_ns);
  write_time(json, "newest", journal.newest_ns);
  write_number(json, "segments", journal.segments);
  write_number(json, "file_bytes", journal.file_bytes);
  write_number(json, "settled_through", journal.settled_through);
  write_number(json, "crashes", journal.crashes);
  json.key("trouble");
  journal.trouble.empty() ? json.null() : json.string(journal.trouble);
  json.end_object();
  print_json(json);
}

void print_row(const SpooledJournal& journal) {
  std::printf("%-36s  %-6s  %12s  %10s  %7s  %7s  %8s  %15s\n", journal.id.c_str(),
              journal.in_use ? "in use" : "free", number_text(journal.records).c_str(),
              size_text(journal.record_bytes).c_str(), age_since(journal.oldest_ns).c_str(),
              age_since(journal.newest_ns).c_str(), number_text(journal.segments).c_str(),
              number_text(journal.settled_through).c_str());
}

void print_table(const std::vector<SpooledJournal>& journals) {
  std::uint64_t records = 0;
  std::uint64_t in_use = 0;
  std::uint64_t crashes = 0;
  if (!journals.empty()) {
    std::printf("%-36s  %-6s  %12s  %10s  %7s  %7s  %8s  %15s\n", "JOURNAL", "STATE", "RECORDS",
                "SIZE", "OLDEST", "NEWEST", "SEGMENTS", "SETTLED THROUGH");
  }
  for (const SpooledJournal& journal : journals) {
    print_row(journal);
    records += journal.records;
    in_use += journal.in_use ? 1 : 0;
    crashes += journal.crashes;
  }
  std::printf("%s to deliver in %s", count_text(records, "record").c_str(),
              count_text(journals.size(), "journal").c_str());
  if (in_use > 0) std::printf(", %s in use", number_text(in_use).c_str());
  if (crashes > 0) std::printf("; %s of a crash", count_text(crashes, "record").c_str());
  std::printf("\n");
}

int list(const LookOptions& options) {
  const auto journals = list_spool(options.directory);
  if (!journals.ok()) return fail(journals.status());
  if (options.json) {
    for (const SpooledJournal& journal : *journals) print_journal_json(journal);
  } else {
    print_table(*journals);
  }
  int code = 0;
  for (const SpooledJournal& journal : *journals) {
    if (journal.trouble.empty()) continue;
    print_error("journal " + journal.id + ": " + journal.trouble);
    code = 1;
  }
  return finish_output(code);
}

// ---- verify

void write_damage(JsonWriter& json, const SpoolDamage& damage) {
  json.begin_object();
  write_text(json, "kind", damage_name(damage.kind));
  write_number(json, "segment", damage.segment);
  write_number(json, "offset", damage.offset);
  write_number(json, "bytes", damage.bytes);
  write_number(json, "first_sequence", damage.first_sequence);
  write_number(json, "last_sequence", damage.last_sequence);
  write_number(json, "lost", damage.lost);
  if (!damage.why.empty()) write_text(json, "why", damage.why);
  json.end_object();
}

void print_checked_json(const CheckedJournal& journal) {
  JsonWriter json;
  json.begin_object();
  write_text(json, "journal", journal.id);
  json.key("in_use");
  json.boolean(journal.in_use);
  write_number(json, "segments", journal.segments);
  write_number(json, "records", journal.records);
  json.key("damage");
  json.begin_array();
  for (const SpoolDamage& damage : journal.damage) write_damage(json, damage);
  json.end_array();
  json.end_object();
  print_json(json);
}

void print_checked(const CheckedJournal& journal) {
  std::printf("journal %s%s: %s in %s, %s\n", journal.id.c_str(), journal.in_use ? " in use" : "",
              count_text(journal.records, "whole record").c_str(),
              count_text(journal.segments, "segment").c_str(),
              journal.damage.empty() ? "no damage" : "damaged");
  for (const SpoolDamage& damage : journal.damage) {
    std::printf("  %s\n", damage_text(damage).c_str());
  }
}

int verify(const LookOptions& options) {
  const auto journals = verify_spool(options.directory);
  if (!journals.ok()) return fail(journals.status());
  std::uint64_t damaged = 0;
  std::uint64_t lost = 0;
  for (const CheckedJournal& journal : *journals) {
    options.json ? print_checked_json(journal) : print_checked(journal);
    damaged += journal.damage.empty() ? 0 : 1;
    for (const SpoolDamage& damage : journal.damage) lost += damage.lost;
  }
  if (!options.json) {
    std::printf("%s, %s damaged, %s lost\n", count_text(journals->size(), "journal").c_str(),
                number_text(damaged).c_str(), count_text(lost, "record").c_str());
  }
  return finish_output(damaged == 0 ? 0 : 1);
}

// ---- drain

// How far the drain is, on standard error: a bar that stays in its place on a terminal, else a line
// now and then.
class ProgressDisplay {
 public:
  explicit ProgressDisplay(bool quiet) : quiet_(quiet) {}

  void show(const SpoolDrain::Progress& progress) {
    const auto now = std::chrono::steady_clock::now();
    const bool first = shown_at_ == std::chrono::steady_clock::time_point{};
    if (quiet_) return;
    if (progress.stopped) return say("stopping; interrupt again to end at once");
    if (!first && now - shown_at_ < interval()) return;
    shown_at_ = now;
    draw(progress);
  }

  // A line of its own beside the bar.
  void say(std::string_view line) {
    clear();
    print_error(line);
  }

  void clear() { line_.clear(); }

 private:
  std::chrono::milliseconds interval() const {
    return line_.there() ? kBarInterval : kLineInterval;
  }

  void draw(const SpoolDrain::Progress& progress) {
    const std::string text = progress_text(progress, line_.columns());
    line_.there() ? line_.draw(text) : static_cast<void>(std::fputs((text + '\n').c_str(), stderr));
  }

  const bool quiet_;
  TerminalLine line_;
  std::chrono::steady_clock::time_point shown_at_{};
};

std::chrono::milliseconds milliseconds_of(double seconds) {
  return std::chrono::ceil<std::chrono::milliseconds>(Seconds(seconds));
}

std::string sum_of(const SpoolDrain::Report& report) {
  return count_text(report.progress.delivered, "record") + " delivered, " +
         number_text(report.progress.dropped) + " dropped, " + number_text(report.left) + " left";
}

int conclude(const SpoolDrain::Report& report, bool quiet) {
  for (const std::string& id : report.in_use) {
    if (!quiet) print_error("journal " + id + " is in use and was left to its owner");
  }
  if (report.progress.stopped) print_error("stopped; " + sum_of(report));
  if (!report.error.empty()) print_error("given up: " + report.error + "; " + sum_of(report));
  if (!report.progress.stopped && report.error.empty() && !report.all_delivered()) {
    print_error("not everything was delivered: " + sum_of(report));
  }
  if (!quiet) std::printf("%s\n", sum_of(report).c_str());
  return finish_output(report.all_delivered() ? 0 : 1);
}

int drain(const DrainOptions& chosen) {
  ProgressDisplay display(chosen.quiet);
  Options options;
  if (Status added = add_credentials(chosen.client, options); !added.ok()) return fail(added);
  options.spool_dir = chosen.directory;
  options.timeout = milliseconds_of(chosen.timeout_s);
  options.retry_attempts = chosen.retries;
  options.retry_delay = milliseconds_of(chosen.retry_delay_s);
  options.batch_size = chosen.batch_size;
  options.report = [&display](std::string_view line) {
    display.say(line.substr(std::min(line.size(), line.find(": ") + 2)));
  };
  auto made = SpoolDrain::create(std::move(options));
  if (!made.ok()) return fail(made.status());
  SpoolDrain& spool = **made;

  std::signal(SIGPIPE, SIG_IGN);
  const StopOnSignal stop([&spool] { spool.stop(); });
  const auto report =
      spool.run([&display](const SpoolDrain::Progress& progress) { display.show(progress); });
  display.clear();
  return report.ok() ? conclude(*report, chosen.quiet) : fail(report.status());
}

// ---- the command line

void add_directory(CLI::App& command, std::string& directory) {
  command.add_option("DIR", directory, "The directory that handlers have as spool_dir")
      ->required()
      ->type_name("");
}

void add_look_command(CLI::App& spool, Run& run, const char* name, const char* what,
                      const char* footer, int (*look)(const LookOptions&)) {
  auto options = std::make_shared<LookOptions>();
  CLI::App* command = spool.add_subcommand(name, what);
  add_directory(*command, options->directory);
  command->add_flag("--json", options->json, "One JSON object per journal, for other programs");
  command->footer(footer);
  command->callback([options, look, &run] { run = [options, look] { return look(*options); }; });
}

void add_drain_command(CLI::App& spool, Run& run) {
  constexpr double kLongestS = 86'400;
  auto options = std::make_shared<DrainOptions>();
  CLI::App* command =
      spool.add_subcommand("drain", "Delivers what processes that are gone have left");
  add_directory(*command, options->directory);
  options->client.add_to(*command);
  command->add_option("--timeout", options->timeout_s, "The total of one request")
      ->type_name("SECONDS")
      ->check(CLI::Range(0.001, kLongestS))
      ->capture_default_str();
  command->add_option("--retries", options->retries, "How often a batch is tried again in a row")
      ->type_name("N")
      ->check(CLI::Range(0, 1'000'000))
      ->capture_default_str();
  command
      ->add_option("--retry-delay", options->retry_delay_s,
                   "The wait before the first retry; doubled for each further one")
      ->type_name("SECONDS")
      ->check(CLI::Range(0.0, kLongestS))
      ->capture_default_str();
  command
      ->add_option("--batch-size", options->batch_size,
                   "Records in a request (default: what the API takes)")
      ->type_name("N");
  command->add_flag("--quiet,-q", options->quiet, "Nothing is shown but what went wrong");
  command->footer(
      "Example:\n"
      "  log-aggregator spool drain /var/spool/shop --endpoint http://127.0.0.1:8080/api/logs\n\n"
      "Journals whose owner lives are left to it, and named. Records that the API refuses for "
      "what\n"
      "they are (400, 413, 422) are dropped. Whatever else goes wrong, records stay in the spool,\n"
      "also where the drain is stopped by Ctrl-C or killed: start it again.\n\n"
      "Exits with 0 where all that nobody has in use was delivered, with 1 where records were\n"
      "dropped or are left (then standard error says why), with 2 where the call is wrong.");
  command->callback([options, &run] { run = [options] { return drain(*options); }; });
}

}  // namespace

void add_spool_command(CLI::App& app, Run& run) {
  CLI::App* spool =
      app.add_subcommand("spool", "Looks at, checks and delivers what a spool directory holds");
  spool->require_subcommand(1);
  add_look_command(*spool, run, "list", "Shows the journals in it, and what they have to deliver",
                   "Changes nothing. The counts of a journal in use are a snapshot.\n\n"
                   "Exits with 0, with 1 where a journal cannot be read, with 2 where the call is "
                   "wrong.",
                   list);
  add_look_command(*spool, run, "verify", "Reads all of it and names what is damaged",
                   "Changes nothing. A free journal is locked while it is read.\n\n"
                   "Exits with 0 where nothing is wrong, with 1 where damage was found, with 2 "
                   "where the call\nis wrong.",
                   verify);
  add_crashes_command(*spool, run);
  add_drain_command(*spool, run);
}

}  // namespace log_aggregator::cli
