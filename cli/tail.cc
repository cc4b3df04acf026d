// `log-aggregator tail`: the newest records, and those that arrive from now on, by polling.

#include <simdjson.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "cli/client.h"
#include "cli/commands.h"
#include "cli/record_text.h"
#include "cli/terminal_text.h"
#include "collector/http/json_text.h"
#include "src/base/text.h"

namespace log_aggregator::cli {

namespace {

constexpr std::chrono::milliseconds kPollInterval(250);
constexpr std::chrono::milliseconds kRetryInterval(2'000);
constexpr std::size_t kPageRecords = 1'000;
constexpr std::size_t kMaxCount = 10'000;

struct TailOptions {
  ClientOptions client;
  std::size_t count = 10;
  bool follow = true;
  bool json = false;
  std::vector<std::string> levels;
  std::string logger;
};

struct ListedRecord {
  std::int64_t id = 0;
  std::string json;
};

struct ListedPage {
  std::vector<ListedRecord> records;  // newest first
  std::optional<std::string> next;
};

Result<std::int64_t> read_id(std::string_view record) {
  const simdjson::padded_string padded(record);
  simdjson::ondemand::parser parser;
  simdjson::ondemand::document document;
  std::int64_t id = 0;
  const bool read = parser.iterate(padded).get(document) == simdjson::SUCCESS &&
                    document["id"].get(id) == simdjson::SUCCESS;
  if (!read) return Status::unavailable("a record in the answer has no id");
  return id;
}

// The members of {"records":[...],"next":...}; the texts of records are kept as they came.
Result<ListedPage> read_page(std::string_view body) {
  const Status wrong = Status::unavailable("the answer is not a list of records");
  const auto members = collector::split_json(body, body.size());
  if (!members) return wrong;
  bool has_records = false;
  ListedPage page;
  for (const std::string_view member : *members) {
    const std::string_view name = member.substr(0, member.find(':'));
    const std::string_view value =
        trim_blanks(member.substr(std::min(name.size() + 1, member.size())));
    if (trim_blanks(name) == "\"next\"" && value.size() > 2 && value.front() == '"') {
      page.next = value.substr(1, value.size() - 2);
    }
    if (trim_blanks(name) != "\"records\"") continue;
    const auto records = collector::split_json(value, value.size());
    if (!records) return wrong;
    has_records = true;
    for (const std::string_view record : *records) {
      const auto id = read_id(record);
      if (!id.ok()) return id.status();
      page.records.push_back({id.value(), std::string(record)});
    }
  }
  if (!has_records) return wrong;
  return page;
}

bool wants_colours() {
  const char* terminal = std::getenv("TERM");
  const bool is_dumb = terminal == nullptr || std::string_view(terminal) == "dumb";
  return isatty(STDOUT_FILENO) == 1 && !is_dumb && std::getenv("NO_COLOR") == nullptr;
}

class Tail {
 public:
  Tail(TailOptions options, Client client)
      : options_(std::move(options)), client_(std::move(client)), colours_(wants_colours()) {}

  int run();

 private:
  Status print_newest();
  Status print_new();
  Result<ListedPage> fetch(std::size_t limit, const std::optional<std::string>& before);
  Status print(const std::vector<ListedRecord>& newest_first);
  int follow();

  const TailOptions options_;
  Client client_;
  const bool colours_;
  std::int64_t last_id_ = 0;  // of what was seen; ids start at 1
  bool refused_ = false;      // the last request was answered, by 4xx: trying again is no use
};

int Tail::run() {
  if (Status printed = print_newest(); !printed.ok()) return fail(printed);
  return options_.follow ? follow() : 0;
}

int Tail::follow() {
  bool reported = false;
  while (true) {
    std::this_thread::sleep_for(reported ? kRetryInterval : kPollInterval);
    const Status printed = print_new();
    if (printed.ok()) {
      if (reported) print_error("connected again");
      reported = false;
      continue;
    }
    if (refused_ || std::ferror(stdout) != 0) return fail(printed);
    if (!reported) print_error(printed.message() + "; trying again");
    reported = true;
  }
}

Status Tail::print_newest() {
  // With nothing to show, the newest record still tells where to go on.
  auto page = fetch(std::max<std::size_t>(options_.count, 1), std::nullopt);
  if (!page.ok()) return page.status();
  if (!page->records.empty()) last_id_ = page->records.front().id;
  if (options_.count == 0) page->records.clear();
  return print(page->records);
}

// All that arrived since, however many pages.
Status Tail::print_new() {
  std::vector<ListedRecord> found;
  std::optional<std::string> before;
  do {
    auto page = fetch(kPageRecords, before);
    if (!page.ok()) return page.status();
    before = page->next;
    for (ListedRecord& record : page->records) {
      if (record.id <= last_id_) {
        before.reset();
        break;
      }
      found.push_back(std::move(record));
    }
  } while (before);
  if (!found.empty()) last_id_ = found.front().id;
  return print(found);
}

Result<ListedPage> Tail::fetch(std::size_t limit, const std::optional<std::string>& before) {
  const bool has_query = client_.endpoint().find('?') != std::string::npos;
  std::string url = client_.endpoint() + (has_query ? "&" : "?") + "limit=" + std::to_string(limit);
  for (const std::string& level : options_.levels) url += "&level=" + client_.encode(level);
  if (!options_.logger.empty()) url += "&logger=" + client_.encode(options_.logger);
  if (before) url += "&before=" + client_.encode(*before);
  const auto answer = client_.get(url);
  refused_ = answer.ok() && answer.value().status / 100 == 4;
  if (!answer.ok()) return answer.status();
  if (answer.value().status / 100 != 2) return refusal(answer.value(), client_.endpoint());
  return read_page(answer.value().body);
}

Status Tail::print(const std::vector<ListedRecord>& newest_first) {
  for (auto record = newest_first.rbegin(); record != newest_first.rend(); ++record) {
    std::string line;
    if (options_.json) {
      line = neutralised_json(record->json) + '\n';
    } else {
      auto text = record_text(record->json, colours_);
      if (!text.ok()) return text.status();
      line = std::move(text).value();
    }
    std::fwrite(line.data(), 1, line.size(), stdout);
  }
  if (std::fflush(stdout) != 0) return Status::unavailable("cannot write to standard output");
  return {};
}

int tail(const TailOptions& options) {
  auto client = Client::create(options.client);
  if (!client.ok()) return fail(client.status());
  return Tail(options, std::move(client).value()).run();
}

}  // namespace

void add_tail_command(CLI::App& app, Run& run) {
  auto options = std::make_shared<TailOptions>();
  CLI::App* command =
      app.add_subcommand("tail", "Shows the newest records, and new ones as they arrive");
  options->client.add_to(*command);
  command->add_option("-n", options->count, "How many records to begin with")
      ->type_name("N")
      ->check(CLI::Range(std::size_t{0}, kMaxCount))
      ->capture_default_str();
  command->add_flag("--follow,!--no-follow", options->follow,
                    "Whether to wait for more (it does, unless --no-follow is given)");
  command->add_option("--level", options->levels, "Only records of this level; may be repeated")
      ->type_name("LEVEL")
      ->allow_extra_args(false);
  command->add_option("--logger", options->logger, "Only records of this logger")
      ->type_name("NAME");
  command->add_flag("--json", options->json, "One JSON object per line, for other programs");
  command->footer(
      "Examples:\n"
      "  log-aggregator tail --endpoint http://127.0.0.1:8080/api/logs -n 100\n"
      "  log-aggregator tail --level ERROR --level CRITICAL --no-follow --json\n\n"
      "Control characters in records are shown as escapes. Colours appear on a terminal only, and\n"
      "not where NO_COLOR is set.");
  command->callback([options, &run] { run = [options] { return tail(*options); }; });
}

}  // namespace log_aggregator::cli
