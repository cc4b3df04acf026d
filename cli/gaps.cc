// `log-aggregator gaps`: which records of which journals a collector does not have.

#include <simdjson.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cli/client.h"
#include "cli/commands.h"
#include "cli/spool_text.h"
#include "cli/terminal_text.h"
#include "collector/http/uuid.h"

namespace log_aggregator::cli {

namespace {

namespace dom = simdjson::dom;

struct GapsOptions {
  ClientOptions client;
  std::string journal;
  bool all = false;
  bool json = false;
};

struct Range {
  std::uint64_t first = 0;
  std::uint64_t last = 0;
};

struct JournalGaps {
  std::string journal;
  std::string host;  // empty: not known, as with last_seen
  std::string last_seen;
  std::uint64_t stored = 0;
  std::uint64_t last = 0;
  std::vector<Range> missing;
  std::vector<Range> skipped;
  std::uint64_t missing_count = 0;
  std::uint64_t skipped_count = 0;
  bool truncated = false;
};

// ---- reading the answer

bool read_number(dom::object object, std::string_view name, std::uint64_t& number) {
  return object[name].get(number) == simdjson::SUCCESS;
}

// A text, or nothing in place of null.
bool read_text(dom::object object, std::string_view name, std::string& text) {
  dom::element value;
  if (object[name].get(value) != simdjson::SUCCESS) return false;
  std::string_view view;
  if (value.get(view) == simdjson::SUCCESS) text = view;
  return value.is_string() || value.is_null();
}

bool read_ranges(dom::object object, std::string_view name, std::vector<Range>& ranges) {
  dom::array list;
  if (object[name].get(list) != simdjson::SUCCESS) return false;
  for (const dom::element each : list) {
    Range range;
    if (each.at(0).get(range.first) != simdjson::SUCCESS ||
        each.at(1).get(range.last) != simdjson::SUCCESS || range.last < range.first) {
      return false;
    }
    ranges.push_back(range);
  }
  return true;
}

std::optional<JournalGaps> read_journal(dom::element element) {
  dom::object object;
  if (element.get(object) != simdjson::SUCCESS) return std::nullopt;
  JournalGaps journal;
  const bool read =
      read_text(object, "journal", journal.journal) && read_text(object, "host", journal.host) &&
      read_text(object, "last_seen", journal.last_seen) &&
      read_number(object, "stored", journal.stored) && read_number(object, "last", journal.last) &&
      read_ranges(object, "missing", journal.missing) &&
      read_number(object, "missing_count", journal.missing_count) &&
      read_ranges(object, "skipped", journal.skipped) &&
      read_number(object, "skipped_count", journal.skipped_count) &&
      object["truncated"].get(journal.truncated) == simdjson::SUCCESS;
  if (!read) return std::nullopt;
  return journal;
}

// ---- printing

void print_ranges(const char* kind, const std::vector<Range>& ranges) {
  for (const Range& range : ranges) {
    std::printf("  %-8s %20s - %-20s %15s\n", kind, number_text(range.first).c_str(),
                number_text(range.last).c_str(), number_text(range.last - range.first + 1).c_str());
  }
}

void print_journal(const JournalGaps& journal) {
  std::printf("journal %s", neutralised(journal.journal).c_str());
  if (!journal.host.empty()) std::printf(" on %s", neutralised(journal.host).c_str());
  if (!journal.last_seen.empty()) {
    std::printf(", last heard of %s", neutralised(journal.last_seen).c_str());
  }
  std::printf("\n  %s stored, %s missing, %s skipped, up to number %s\n",
              number_text(journal.stored).c_str(), number_text(journal.missing_count).c_str(),
              number_text(journal.skipped_count).c_str(), number_text(journal.last).c_str());
  if (!journal.missing.empty() || !journal.skipped.empty()) {
    std::printf("  %-8s %20s   %-20s %15s\n", "", "first", "last", "records");
  }
  print_ranges("missing", journal.missing);
  print_ranges("skipped", journal.skipped);
  if (journal.truncated) std::printf("  and more than can be listed\n");
}

// ---- asking

class GapsCommand {
 public:
  GapsCommand(GapsOptions options, Client client)
      : options_(std::move(options)), client_(std::move(client)) {}

  int run();

 private:
  std::string url(const std::string& before);
  // The cursor of the next page; empty: this was the last.
  Result<std::string> print_page(const std::string& before);
  void print(dom::element element, const JournalGaps& journal);
  void print_sum() const;

  const GapsOptions options_;
  Client client_;
  std::uint64_t journals_ = 0;
  std::uint64_t missing_ = 0;
  std::uint64_t skipped_ = 0;
};

int GapsCommand::run() {
  std::string before;
  do {
    auto next = print_page(before);
    if (!next.ok()) return fail(next.status());
    before = std::move(next).value();
  } while (!before.empty());
  if (!options_.json) print_sum();
  if (std::fflush(stdout) != 0) {
    return fail(Status::unavailable("cannot write to standard output"));
  }
  return missing_ == 0 ? 0 : 1;
}

// Beside the health of the same API.
std::string GapsCommand::url(const std::string& before) {
  std::string url = client_.health_url();
  url.replace(url.rfind('/') + 1, std::string::npos, "gaps?limit=100");
  if (options_.all) url += "&all=1";
  if (!options_.journal.empty()) url += "&journal=" + client_.encode(options_.journal);
  if (!before.empty()) url += "&before=" + client_.encode(before);
  return url;
}

Result<std::string> GapsCommand::print_page(const std::string& before) {
  const std::string address = url(before);
  const auto answer = client_.get(address);
  if (!answer.ok()) return answer.status();
  if (answer.value().status / 100 != 2) return refusal(answer.value(), address);

  const Status wrong = Status::unavailable("the answer is not a list of gaps");
  dom::parser parser;
  dom::object root;
  dom::array journals;
  std::string next;
  if (parser.parse(answer.value().body).get(root) != simdjson::SUCCESS ||
      root["journals"].get(journals) != simdjson::SUCCESS || !read_text(root, "next", next)) {
    return wrong;
  }
  for (const dom::element element : journals) {
    const auto journal = read_journal(element);
    if (!journal) return wrong;
    print(element, *journal);
  }
  return next;
}

void GapsCommand::print(dom::element element, const JournalGaps& journal) {
  ++journals_;
  missing_ += journal.missing_count;
  skipped_ += journal.skipped_count;
  if (options_.json) {
    std::printf("%s\n", neutralised_json(simdjson::minify(element)).c_str());
  } else {
    print_journal(journal);
  }
}

void GapsCommand::print_sum() const {
  if (missing_ + skipped_ == 0) {
    std::printf("no gaps%s\n", journals_ == 0 ? "" : " in these journals");
    return;
  }
  std::printf("%s missing and %s skipped in %s %s\n", number_text(missing_).c_str(),
              number_text(skipped_).c_str(), number_text(journals_).c_str(),
              journals_ == 1 ? "journal" : "journals");
}

int gaps(const GapsOptions& options) {
  if (!options.journal.empty() && !collector::uuid_in_lower_case(options.journal)) {
    return fail(Status::invalid_argument("--journal must be a uuid"));
  }
  auto client = Client::create(options.client);
  if (!client.ok()) return fail(client.status());
  return GapsCommand(options, std::move(client).value()).run();
}

}  // namespace

void add_gaps_command(CLI::App& app, Run& run) {
  auto options = std::make_shared<GapsOptions>();
  CLI::App* command =
      app.add_subcommand("gaps", "Shows which numbered records a collector does not have");
  options->client.add_to(*command);
  command->add_option("--journal", options->journal, "Only this journal")->type_name("UUID");
  command->add_flag("--all", options->all, "Journals without gaps, too");
  command->add_flag("--json", options->json, "One JSON object per journal, for other programs");
  command->footer(
      "Examples:\n"
      "  log-aggregator gaps --endpoint http://127.0.0.1:8080/api/logs\n"
      "  log-aggregator gaps --all --json\n\n"
      "Missing: nobody knows why; it may be on its way, or wait in a spool, as long as the sender\n"
      "lives. Skipped: its sender has counted it as dropped and said so.\n\n"
      "Exits with 0 where nothing is missing, with 1 where something is or the collector cannot "
      "be\n"
      "asked (then standard error says why), with 2 where the call is wrong.");
  command->callback([options, &run] { run = [options] { return gaps(*options); }; });
}

}  // namespace log_aggregator::cli
