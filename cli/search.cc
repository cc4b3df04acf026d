// `log-aggregator search`: the newest stored records that a query finds, in order of arrival.

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cli/client.h"
#include "cli/commands.h"
#include "cli/records.h"
#include "collector/timestamp.h"

namespace log_aggregator::cli {

namespace {

constexpr std::size_t kMaxCount = 1'000'000;
constexpr std::size_t kPageRecords = 10'000;

struct SearchOptions {
  ClientOptions client;
  RecordOptions records;
  std::vector<std::string> words;
  std::string from;
  std::string to;
  std::size_t count = 100;
  bool json = false;
};

// 15m, 2h, 7d: microseconds. Nothing for any other text.
std::optional<std::int64_t> parse_age(std::string_view text) {
  constexpr std::int64_t kSecond = 1'000'000;
  if (text.empty()) return std::nullopt;
  const char unit = text.back();
  const std::int64_t unit_us = unit == 's'   ? kSecond
                               : unit == 'm' ? 60 * kSecond
                               : unit == 'h' ? 3'600 * kSecond
                               : unit == 'd' ? 86'400 * kSecond
                                             : 0;
  std::int32_t number = 0;
  const char* end = text.data() + text.size() - 1;
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  if (unit_us == 0 || error != std::errc() || stop != end || number < 0) return std::nullopt;
  return number * unit_us;
}

class Search {
 public:
  Search(SearchOptions options, Client client)
      : options_(std::move(options)), client_(std::move(client)) {}

  int run();

 private:
  Result<std::string> parameters();
  Status add_time(std::string_view name, const std::string& value, std::string& parameters);
  int print(const std::vector<ListedRecord>& newest_first) const;

  const SearchOptions options_;
  Client client_;
};

int Search::run() {
  const auto selected = parameters();
  if (!selected.ok()) return fail(selected.status());
  std::vector<ListedRecord> found;
  std::optional<std::string> before;
  do {
    const std::size_t limit = std::min(options_.count - found.size(), kPageRecords);
    std::string url = client_.url_of("", "limit=" + std::to_string(limit) + selected.value());
    if (before) url += "&before=" + client_.encode(*before);
    const auto answer = client_.get(url);
    if (!answer.ok()) return fail(answer.status());
    if (answer.value().status / 100 != 2) {
      return fail_refused(answer.value(), client_.endpoint(), options_.records.query);
    }
    auto page = read_page(answer.value().body);
    if (!page.ok()) return fail(page.status());
    std::move(page->records.begin(), page->records.end(), std::back_inserter(found));
    before = page->next;
  } while (before && found.size() < options_.count);
  return print(found);
}

Result<std::string> Search::parameters() {
  std::string text = options_.records.parameters(client_);
  if (Status added = add_time("from", options_.from, text); !added.ok()) return added;
  if (Status added = add_time("to", options_.to, text); !added.ok()) return added;
  return text;
}

Status Search::add_time(std::string_view name, const std::string& value, std::string& parameters) {
  if (value.empty()) return {};
  std::string time = value;
  if (const auto age = parse_age(value)) {
    time = collector::timestamp_text(collector::now_microseconds() - *age);
  } else if (!collector::parse_timestamp(value)) {
    return Status::invalid_argument("--" + std::string(name) +
                                    " must be an age such as 15m, 2h or 7d, or a time such as "
                                    "2025-03-27T08:00:00Z");
  }
  parameters += '&' + std::string(name) + '=' + client_.encode(time);
  return {};
}

int Search::print(const std::vector<ListedRecord>& newest_first) const {
  const RecordPrinter printer(options_.json);
  for (auto record = newest_first.rbegin(); record != newest_first.rend(); ++record) {
    if (Status printed = printer.print(record->json); !printed.ok()) return fail(printed);
  }
  const Status flushed = printer.flush();
  return flushed.ok() ? 0 : fail(flushed);
}

int search(const SearchOptions& options) {
  auto client = Client::create(options.client);
  if (!client.ok()) return fail(client.status());
  return Search(options, std::move(client).value()).run();
}

}  // namespace

void add_search_command(CLI::App& app, Run& run) {
  auto options = std::make_shared<SearchOptions>();
  CLI::App* command = app.add_subcommand("search", "Shows the newest records that a query finds");
  options->client.add_to(*command);
  command
      ->add_option("QUERY", options->words,
                   "Words, \"phrases\", -not, level>=WARNING, logger:app.*, host:web-1, "
                   "user_id=123: all must match. None: every record")
      ->type_name("");
  command
      ->add_option("--from", options->from,
                   "Only records with a time from here on: an age such as 15m, 2h or 7d, or a time "
                   "such as 2025-03-27T08:00:00Z")
      ->type_name("TIME");
  command->add_option("--to", options->to, "Only records with a time before this")
      ->type_name("TIME");
  options->records.add_to(*command);
  command->add_option("-n", options->count, "How many records at most, the newest")
      ->type_name("N")
      ->check(CLI::Range(std::size_t{1}, kMaxCount))
      ->capture_default_str();
  command->add_flag("--json", options->json, "One JSON object per line, for other programs");
  command->footer(
      "Examples:\n"
      "  log-aggregator search timeout 'level>=ERROR' --from 2h\n"
      "  log-aggregator search --from 1d --json -- '\"connection reset\"' -retry user_id=123\n\n"
      "Records come in order of arrival. Control characters in them are shown as escapes; colours\n"
      "appear on a terminal only, and not where NO_COLOR is set.");
  command->callback([options, &run] {
    for (const std::string& word : options->words) {
      options->records.query += (options->records.query.empty() ? "" : " ") + word;
    }
    run = [options] { return search(*options); };
  });
}

}  // namespace log_aggregator::cli
