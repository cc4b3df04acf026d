// `log-aggregator tail`: the newest records, and those that arrive from now on, by the collector's
// stream of events. A connection that ends is made again, after the last record that was shown.

#include <simdjson.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include "cli/client.h"
#include "cli/commands.h"
#include "cli/event_stream.h"
#include "cli/records.h"

namespace log_aggregator::cli {

namespace {

constexpr std::chrono::milliseconds kFirstRetry(250);
constexpr std::chrono::milliseconds kLastRetry(5'000);
constexpr std::size_t kMaxCount = 10'000;

struct TailOptions {
  ClientOptions client;
  RecordOptions records;
  std::size_t count = 10;
  bool follow = true;
  bool json = false;
};

class Tail {
 public:
  Tail(TailOptions options, Client client)
      : options_(std::move(options)), client_(std::move(client)), printer_(options_.json) {}

  int run();

 private:
  Status print_newest();
  Result<ListedPage> fetch(std::size_t limit, const std::string& parameters);
  int follow();
  Status follow_once();
  bool take_event(const Event& event);
  // The exit code where going on is of no use.
  std::optional<int> end_after(const Status& failure) const;

  const TailOptions options_;
  Client client_;
  const RecordPrinter printer_;
  std::string after_;  // where the stream begins
  EventStream events_;
  Status printed_;
  bool connected_ = false;               // something came since the last failure
  bool reported_ = false;                // that the connection is lost
  std::optional<ClientAnswer> refused_;  // an answer of 4xx: trying again is no use
};

int Tail::run() {
  if (Status printed = print_newest(); !printed.ok()) return *end_after(printed);
  return options_.follow ? follow() : 0;
}

// Without the filters first, to know after which record the stream is to begin.
Status Tail::print_newest() {
  const auto newest = fetch(1, "");
  if (!newest.ok()) return newest.status();
  const std::int64_t last = newest.value().records.empty() ? 0 : newest.value().records[0].id;
  after_ = std::to_string(last);
  if (options_.count == 0) return {};
  auto page = fetch(options_.count,
                    options_.records.parameters(client_) + "&before=" + std::to_string(last + 1));
  if (!page.ok()) return page.status();
  for (auto record = page->records.rbegin(); record != page->records.rend(); ++record) {
    if (Status printed = printer_.print(record->json); !printed.ok()) return printed;
  }
  return printer_.flush();
}

Result<ListedPage> Tail::fetch(std::size_t limit, const std::string& parameters) {
  auto answer = client_.get(client_.url_of("", "limit=" + std::to_string(limit) + parameters));
  if (!answer.ok()) return answer.status();
  if (answer->status / 100 != 2) {
    if (answer->status / 100 == 4) refused_ = *answer;
    return refusal(*answer, client_.endpoint());
  }
  return read_page(answer->body);
}

int Tail::follow() {
  std::chrono::milliseconds pause = kFirstRetry;
  while (true) {
    connected_ = false;
    const Status ended = follow_once();
    if (const auto code = end_after(ended)) return *code;
    if (connected_) pause = kFirstRetry;
    if (!reported_) print_error(ended.message() + "; trying again");
    reported_ = true;
    std::this_thread::sleep_for(pause);
    pause = std::min(2 * pause, kLastRetry);
  }
}

// Shows what comes until the connection ends; says why.
Status Tail::follow_once() {
  const std::string url =
      client_.url_of("stream", "after=" + after_ + options_.records.parameters(client_));
  events_.restart();
  auto answer = client_.stream(url, events_.last_id(), [this](std::string_view bytes) {
    if (reported_) print_error("connected again");
    reported_ = false;
    connected_ = true;
    const bool go_on =
        events_.feed(bytes, [this](const Event& event) { return take_event(event); });
    if (go_on) printed_ = printer_.flush();
    return printed_.ok();
  });
  if (!answer.ok()) return answer.status();
  if (answer->status / 100 != 2) {
    // 429 is a matter of time.
    if (answer->status / 100 == 4 && answer->status != 429) refused_ = *answer;
    return refusal(*answer, client_.endpoint());
  }
  return Status::unavailable("the collector has ended the stream");
}

bool Tail::take_event(const Event& event) {
  if (event.type.empty()) printed_ = printer_.print(event.data);
  if (event.type == "missed") {
    simdjson::dom::parser parser;
    std::uint64_t count = 0;
    const bool read = parser.parse(event.data.data(), event.data.size())["missed"].get(count) ==
                      simdjson::SUCCESS;
    print_error((read ? std::to_string(count) : "some") +
                " records were left out here: they came faster than they could be shown");
  }
  return printed_.ok();
}

std::optional<int> Tail::end_after(const Status& failure) const {
  if (!printed_.ok()) return fail(printed_);
  if (refused_) return fail_refused(*refused_, client_.endpoint(), options_.records.query);
  if (after_.empty()) return fail(failure);  // it has not begun
  return std::nullopt;
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
  command
      ->add_option("--query", options->records.query,
                   "Only records that this finds: words, \"phrases\", -not, level>=WARNING, "
                   "logger:app.*, user_id=123")
      ->type_name("QUERY");
  options->records.add_to(*command);
  command->add_flag("--json", options->json, "One JSON object per line, for other programs");
  command->footer(
      "Examples:\n"
      "  log-aggregator tail --endpoint http://127.0.0.1:8080/api/logs -n 100\n"
      "  log-aggregator tail --query 'level>=WARNING logger:app.*' --json\n\n"
      "When the connection is lost it is made again, and goes on after the last record that was\n"
      "shown. Control characters in records are shown as escapes. Colours appear on a terminal "
      "only,\n"
      "and not where NO_COLOR is set.");
  command->callback([options, &run] { run = [options] { return tail(*options); }; });
}

}  // namespace log_aggregator::cli
