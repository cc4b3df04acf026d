// `log-aggregator send`: files, or standard input, sent to an API.
//
// The records of a file are those of one journal, numbered as they come. How far they are
// acknowledged is kept in a state file; what was sent beyond that is sent again after a crash,
// under the same numbers, and a collector that knows these stores it once.

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <deque>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cli/client.h"
#include "cli/commands.h"
#include "cli/send_input.h"
#include "cli/send_record.h"
#include "cli/send_state.h"
#include "cli/send_text.h"
#include "cli/spool_text.h"
#include "cli/stop_on_signal.h"
#include "cli/terminal_line.h"
#include "cli/terminal_text.h"
#include "log_aggregator/json_writer.h"
#include "src/base/url.h"
#include "src/base/uuid.h"
#include "src/handler/feed.h"

namespace log_aggregator::cli {

namespace {

using std::chrono::steady_clock;
using Seconds = std::chrono::duration<double>;

constexpr auto kLookInterval = std::chrono::milliseconds(100);
constexpr auto kSaveInterval = std::chrono::seconds(1);
// What was read before a signal came is still delivered, if that takes no longer.
constexpr auto kStopGrace = std::chrono::seconds(5);
// Nothing is said of an outage that is shorter.
constexpr auto kPatience = std::chrono::seconds(2);
constexpr auto kFirstRetry = std::chrono::milliseconds(200);
constexpr std::size_t kQueueBytes = 16 << 20;
constexpr std::size_t kBeginningBytes = 64 << 10;
constexpr std::uint64_t kNamedTexts = 5;
constexpr int kSignalled = 128;

struct SendOptions {
  ClientOptions client;
  std::vector<std::string> files;
  FormatChoice format = FormatChoice::automatic;
  std::string level = "INFO";
  std::string logger;
  std::string host;
  double give_up_after_s = 60;
  bool restart = false;
  bool json = false;
};

std::int64_t unix_microseconds_now() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::microseconds>(now).count();
}

// ---- what is said

// Lines on standard error beside the progress bar. The core's reports come from any thread, and are
// written by the one that draws.
class Display {
 public:
  void report(std::string_view line) {
    const std::lock_guard lock(mutex_);
    reports_.emplace_back(line.substr(std::min(line.size(), line.find(": ") + 2)));
  }

  void write_reports() {
    std::vector<std::string> reports;
    {
      const std::lock_guard lock(mutex_);
      reports.swap(reports_);
    }
    for (const std::string& report : reports) say(report);
  }

  void say(std::string_view line) {
    line_.clear();
    print_error(line);
  }

  void draw(const SendProgress& progress) {
    if (line_.there()) line_.draw(send_progress_text(progress, line_.columns()));
  }

  void clear() { line_.clear(); }

 private:
  TerminalLine line_;
  std::mutex mutex_;
  std::vector<std::string> reports_;
};

// ---- one input

// An input on its way. For one thread.
class Sending {
 public:
  // `keeper` keeps the state; null: nothing does, as the input is no file.
  Sending(const SendOptions& options, const StopOnSignal& stop, Display& display, std::string path,
          int descriptor, SendState state, SendStateFile* keeper)
      : options_(options),
        stop_(stop),
        display_(display),
        path_(std::move(path)),
        name_(std::filesystem::path(path_).filename().string()),
        descriptor_(descriptor),
        begun_with_(state),
        keeper_(keeper),
        state_(std::move(state)),
        offered_(state_.records),
        bad_(state_.bad) {}

  Status start();
  // Sends what the input holds. True when all of it has met its fate; false where that was not
  // waited for, or it cannot be read on.
  bool run(SendInput input);
  // Takes up a part of the file that is new; all before it must have met its fate.
  Status extend(std::uint64_t end);
  // Up to there all has met its fate.
  InputPlace place() const { return state_.place; }
  // Tells how it went; the exit code for it.
  int conclude(bool complete);

 private:
  // A text that was handed over, or was bad: once all records up to this number are settled, the
  // state is behind it.
  struct Mark {
    std::uint64_t record = 0;
    InputPlace place;
    std::uint64_t bad = 0;
  };

  bool goes_on() const { return !failed_ && !given_up_ && stop_.number() == 0; }
  void handle(const InputText& text, InputFormat format);
  Result<std::string_view> make_record(const InputText& text, InputFormat format);
  void note_bad(const InputText& text, InputFormat format, const std::string& why);
  bool offer(std::string_view record);
  bool wait_until_settled();
  void look();
  void look_if_due();
  void note_settled(const Feed::Progress& progress);
  void watch_for_outage(const Feed::Progress& progress);
  Status save();
  SendSum sum() const;
  void print_json(const SendSum& sum, bool complete) const;

  const SendOptions& options_;
  const StopOnSignal& stop_;
  Display& display_;
  const std::string path_;
  const std::string name_;  // for people
  const int descriptor_;
  const SendState begun_with_;
  SendStateFile* const keeper_;

  std::unique_ptr<Feed> feed_;
  std::optional<SendRecord> maker_;
  SendState state_;
  std::uint64_t offered_;  // number of the last record
  std::uint64_t bad_;      // texts that are no records
  std::uint64_t broken_ = 0;
  std::deque<Mark> marks_;

  steady_clock::time_point begun_at_ = steady_clock::now();
  steady_clock::time_point looked_at_ = begun_at_;
  steady_clock::time_point saved_at_ = begun_at_;
  steady_clock::time_point settled_at_ = begun_at_;  // or nothing was pending then
  bool told_of_outage_ = false;
  bool told_of_save_ = false;
  bool failed_ = false;    // it cannot be read
  bool given_up_ = false;  // on an answer
};

// The state is on the disk before anything is sent under its uuid.
Status Sending::start() {
  if (Status saved = save(); !saved.ok()) return saved;
  Options core;
  if (Status added = add_credentials(options_.client, core); !added.ok()) return added;
  core.host = options_.host;
  core.queue_bytes = kQueueBytes;
  core.retry_delay = kFirstRetry;
  core.report = [this](std::string_view line) { display_.report(line); };
  auto feed =
      Feed::create(std::move(core), {.id = state_.journal, .settled_through = state_.records});
  if (!feed.ok()) return feed.status();
  feed_ = std::move(*feed);
  maker_.emplace(SendRecord::Defaults{
      options_.level, options_.logger.empty() ? name_ : options_.logger, feed_->options().host});
  return {};
}

bool Sending::run(SendInput input) {
  bool ended = false;
  while (goes_on()) {
    const auto text = input.next();
    if (!text.ok()) {
      display_.say(name_ + ": " + text.status().message());
      failed_ = true;
    } else if (text->kind == InputText::Kind::end) {
      ended = true;
      break;
    } else if (text->kind != InputText::Kind::nothing_yet) {
      handle(*text, *input.format());
    }
    look_if_due();
  }
  feed_->hurry();
  return wait_until_settled() && ended;
}

Status Sending::extend(std::uint64_t end) {
  if (end == state_.end) return {};
  state_.end = end;
  const auto head = fingerprint_head(descriptor_, end);
  if (!head.ok()) return head.status();
  state_.head = *head;
  return save();
}

void Sending::handle(const InputText& text, InputFormat format) {
  if (text.kind == InputText::Kind::broken) {
    ++broken_;
    display_.say(name_ + ": the JSON document is not closed, or goes on behind its end");
    return;
  }
  const auto record = make_record(text, format);
  if (record.ok()) {
    if (!offer(*record)) return;
    ++offered_;
  } else if (!text.closed && format == InputFormat::ndjson) {
    // Perhaps its rest is yet to be written: the next run begins with it.
    ++broken_;
    display_.say(name_ + ", line " + number_text(text.behind.number) + ": ends too soon");
    return;
  } else {
    note_bad(text, format, record.status().message());
  }
  // Of the bad texts behind a record one mark is enough.
  if (!marks_.empty() && marks_.back().record == offered_) marks_.pop_back();
  marks_.push_back({offered_, text.behind, bad_});
}

Result<std::string_view> Sending::make_record(const InputText& text, InputFormat format) {
  const std::int64_t now_us = unix_microseconds_now();
  if (format == InputFormat::lines) return maker_->from_line(text.text, now_us);
  if (text.kind == InputText::Kind::too_long) {
    return Status::invalid_argument("is longer than 1 MiB");
  }
  return maker_->from_json(text.text, now_us);
}

void Sending::note_bad(const InputText& text, InputFormat format, const std::string& why) {
  const std::uint64_t in_this_run = ++bad_ - begun_with_.bad;
  if (in_this_run > kNamedTexts) return;
  const char* what = format == InputFormat::ndjson ? ", line " : ", value ";
  display_.say(name_ + what + number_text(text.behind.number) + " " + why);
  if (in_this_run == kNamedTexts) display_.say(name_ + ": further ones are only counted");
}

bool Sending::offer(std::string_view record) {
  while (!feed_->offer(record)) {
    if (!goes_on()) return false;
    feed_->wait_for_change(steady_clock::now() + kLookInterval);
    look_if_due();
  }
  return true;
}

bool Sending::wait_until_settled() {
  const auto reading_ended = steady_clock::now();
  while (true) {
    look();
    if (marks_.empty()) break;
    const bool stopped = stop_.number() != 0;
    if (given_up_ || (stopped && steady_clock::now() > reading_ended + kStopGrace)) return false;
    feed_->wait_for_change(steady_clock::now() + kLookInterval);
  }
  return true;
}

void Sending::look_if_due() {
  if (steady_clock::now() - looked_at_ >= kLookInterval) look();
}

void Sending::look() {
  looked_at_ = steady_clock::now();
  const Feed::Progress progress = feed_->progress();
  note_settled(progress);
  watch_for_outage(progress);
  display_.write_reports();
  if (keeper_ != nullptr && looked_at_ - saved_at_ >= kSaveInterval) {
    const Status saved = save();
    if (!saved.ok() && !std::exchange(told_of_save_, true)) {
      display_.say("how far it is cannot be kept: " + saved.message());
    }
  }
  SendProgress shown{.name = name_,
                     .records = state_.records - begun_with_.records,
                     .offset = state_.place.offset,
                     .from = begun_with_.place.offset,
                     .elapsed = looked_at_ - begun_at_};
  if (keeper_ != nullptr) shown.end = state_.end;
  display_.draw(shown);
}

void Sending::note_settled(const Feed::Progress& progress) {
  if (progress.settled_through != state_.records || progress.pending == 0) {
    settled_at_ = looked_at_;
    told_of_outage_ = false;
  }
  state_.refused = begun_with_.refused + progress.refused;
  while (!marks_.empty() && marks_.front().record <= progress.settled_through) {
    state_.records = marks_.front().record;
    state_.place = marks_.front().place;
    state_.bad = marks_.front().bad;
    marks_.pop_front();
  }
}

void Sending::watch_for_outage(const Feed::Progress& progress) {
  const Seconds silence = looked_at_ - settled_at_;
  if (silence >= kPatience && !progress.last_error.empty() &&
      !std::exchange(told_of_outage_, true)) {
    display_.say(progress.last_error + "; trying again");
  }
  given_up_ |= silence.count() >= options_.give_up_after_s;
}

Status Sending::save() {
  saved_at_ = steady_clock::now();
  if (keeper_ == nullptr) return {};
  const auto before = fingerprint_before(descriptor_, state_.place.offset);
  if (!before.ok()) return before.status();
  state_.before = *before;
  return keeper_->save(state_);
}

SendSum Sending::sum() const {
  const std::uint64_t settled = state_.records - begun_with_.records;
  const std::uint64_t refused = state_.refused - begun_with_.refused;
  return {.name = name_,
          .sent = settled - refused,
          .already = begun_with_.records - begun_with_.refused,
          .failed = state_.refused + state_.bad + broken_};
}

void Sending::print_json(const SendSum& sum, bool complete) const {
  JsonWriter json;
  json.begin_object();
  const auto number = [&json](std::string_view name, std::uint64_t value) {
    json.key(name);
    json.raw(std::to_string(value));
  };
  json.key("file");
  json.string(path_);
  json.key("journal");
  json.string(state_.journal);
  number("sent", sum.sent);
  number("already", sum.already);
  number("failed", sum.failed);
  json.key("complete");
  json.boolean(complete);
  json.key("seconds");
  json.real(Seconds(steady_clock::now() - begun_at_).count());
  json.end_object();
  std::printf("%s\n", neutralised_json(json.text()).c_str());
}

int Sending::conclude(bool complete) {
  display_.clear();
  display_.write_reports();
  if (Status saved = save(); !saved.ok()) display_.say(name_ + ": " + saved.message());
  const SendSum total = sum();
  options_.json ? print_json(total, complete)
                : static_cast<void>(std::printf("%s\n", send_sum_text(total).c_str()));
  if (std::fflush(stdout) != 0) return fail(Status::unavailable("cannot write to standard output"));
  if (complete) return total.failed == 0 ? 0 : 1;
  std::string why = "not all was sent";
  if (stop_.number() != 0) why = "stopped";
  if (given_up_) why = "given up: " + feed_->progress().last_error;
  display_.say(name_ + ": " + why +
               (keeper_ != nullptr ? "; the same command goes on where this one has ended" : ""));
  return 1;
}

// ---- files and pipes

class Descriptor {
 public:
  explicit Descriptor(int number) : number_(number) {}
  ~Descriptor() {
    if (number_ > STDERR_FILENO) ::close(number_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int number() const { return number_; }

 private:
  const int number_;
};

Result<std::uint64_t> size_of(int descriptor) {
  struct stat about {};
  if (::fstat(descriptor, &about) != 0) return Status::unavailable(std::strerror(errno));
  return static_cast<std::uint64_t>(about.st_size);
}

class Sender {
 public:
  Sender(const SendOptions& options, const StopOnSignal& stop, std::string endpoint)
      : options_(options), stop_(stop), endpoint_(std::move(endpoint)) {}

  // The exit code for it. "-" is standard input.
  int send(const std::string& name);

 private:
  int send_file(const std::string& path, int descriptor);
  int send_pipe(const std::string& name, int descriptor);
  Result<SendState> state_for(const std::string& path, int descriptor, std::uint64_t size,
                              const SendStateFile& keeper);
  Result<InputFormat> format_of(int descriptor) const;
  int fail_for(const std::string& path, const Status& status) {
    display_.clear();
    return fail({status.code(), path + ": " + status.message()});
  }

  const SendOptions& options_;
  const StopOnSignal& stop_;
  const std::string endpoint_;
  Display display_;
};

int Sender::send(const std::string& name) {
  if (name == "-") return send_pipe("stdin", STDIN_FILENO);
  const Descriptor file(::open(name.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat about {};
  if (file.number() < 0 || ::fstat(file.number(), &about) != 0) {
    return fail_for(name, Status::unavailable(std::strerror(errno)));
  }
  if (S_ISDIR(about.st_mode)) return fail_for(name, Status::unavailable("is a directory"));
  return S_ISREG(about.st_mode) ? send_file(name, file.number()) : send_pipe(name, file.number());
}

int Sender::send_pipe(const std::string& name, int descriptor) {
  Sending sending(options_, stop_, display_, name, descriptor, {.journal = make_uuid()}, nullptr);
  if (Status started = sending.start(); !started.ok()) return fail_for(name, started);
  return sending.conclude(sending.run(SendInput(descriptor, options_.format)));
}

// Lines that an earlier run has taken up come first, up to where that ended: it may have sent half
// of a line that was being written. What the file has grown by since is taken up when all of that
// has met its fate.
int Sender::send_file(const std::string& path, int descriptor) {
  const auto directory = send_state_directory();
  if (!directory.ok()) return fail(directory.status());
  std::error_code error;
  const std::string absolute = std::filesystem::canonical(path, error).string();
  if (error) return fail_for(path, Status::unavailable(error.message()));
  const auto keeper = SendStateFile::open(*directory, endpoint_, absolute);
  if (!keeper.ok()) return fail_for(path, keeper.status());
  const auto size = size_of(descriptor);
  if (!size.ok()) return fail_for(path, size.status());
  const auto state = state_for(path, descriptor, *size, **keeper);
  if (!state.ok()) return fail_for(path, state.status());

  // An empty one is like any other: there is nothing yet to know it by.
  SendStateFile* const kept = *size == 0 ? nullptr : keeper->get();
  Sending sending(options_, stop_, display_, path, descriptor, *state, kept);
  if (kept == nullptr) return sending.conclude(true);
  if (Status started = sending.start(); !started.ok()) return fail_for(path, started);
  bool complete = true;
  if (state->format == InputFormat::lines && state->end < *size) {
    complete = sending.run(SendInput(descriptor, state->format, state->place, state->end));
  }
  if (complete) {
    if (Status extended = sending.extend(*size); !extended.ok()) return fail_for(path, extended);
    complete = sending.run(SendInput(descriptor, state->format, sending.place(), *size));
  }
  return sending.conclude(complete);
}

// Where to go on, or a new beginning.
Result<SendState> Sender::state_for(const std::string& path, int descriptor, std::uint64_t size,
                                    const SendStateFile& keeper) {
  const auto format = format_of(descriptor);
  if (!format.ok()) return format.status();
  auto known = options_.restart ? Result(std::optional<SendState>()) : keeper.load();
  if (!known.ok()) return known.status();
  const auto same = *known ? is_same_file(**known, descriptor, size) : Result(false);
  if (!same.ok()) return same.status();
  if (*same && options_.format != FormatChoice::automatic && (*known)->format != *format) {
    return Status::invalid_argument("was begun as " +
                                    std::string(input_format_name((*known)->format)) +
                                    "; --restart sends all of it again");
  }
  if (*same) return **std::move(known);
  if (*known) {
    display_.say(path + " is another file than before, or was cut: it is sent from its beginning");
  }
  const auto head = fingerprint_head(descriptor, size);
  if (!head.ok()) return head.status();
  return SendState{.journal = make_uuid(), .format = *format, .end = size, .head = *head};
}

Result<InputFormat> Sender::format_of(int descriptor) const {
  std::string beginning(kBeginningBytes, '\0');
  const ssize_t count = ::pread(descriptor, beginning.data(), beginning.size(), 0);
  if (count < 0) return Status::unavailable(std::strerror(errno));
  beginning.resize(static_cast<std::size_t>(count));
  return detect_format(beginning, options_.format);
}

// A token that the API does not take is said at once, and not after a minute of trying.
Status check_token(const ClientOptions& options) {
  auto client = Client::create(options);
  if (!client.ok()) return client.status();
  const auto answer = client->get(client->health_url());
  const bool refused = answer.ok() && (answer->status == 401 || answer->status == 403);
  return refused ? refusal(*answer, client->health_url()) : Status();
}

int send(const SendOptions& options) {
  const auto endpoint = parse_endpoint(options.client.endpoint);
  if (!endpoint.ok()) return fail(endpoint.status());
  std::signal(SIGPIPE, SIG_IGN);
  const StopOnSignal stop([] {});
  if (Status taken = check_token(options.client); !taken.ok()) return fail(taken);
  Sender sender(options, stop, endpoint->url);
  int code = 0;
  for (const std::string& file : options.files) {
    const int of_file = stop.number() != 0 ? 1 : sender.send(file);
    code = std::max(code, of_file);
  }
  return stop.number() != 0 && code != 0 ? kSignalled + stop.number() : code;
}

}  // namespace

void add_send_command(CLI::App& app, Run& run) {
  constexpr double kLongestS = 86'400;
  auto options = std::make_shared<SendOptions>();
  CLI::App* command =
      app.add_subcommand("send", "Sends the lines of files, or records in JSON, each of them once");
  command
      ->add_option("FILE", options->files,
                   "Files, one after the other; - is standard input, as is none")
      ->type_name("");
  options->client.add_to(*command);
  const std::map<std::string, FormatChoice> formats = {{"auto", FormatChoice::automatic},
                                                       {"lines", FormatChoice::lines},
                                                       {"ndjson", FormatChoice::ndjson},
                                                       {"json", FormatChoice::json}};
  command
      ->add_option("--format", options->format,
                   "lines: a message on each line; ndjson: an object on each line; json: an array "
                   "of objects, or one after the other; auto (default): as it begins")
      ->transform(CLI::CheckedTransformer(formats).description(""))
      ->type_name("auto|lines|ndjson|json");
  command->add_option("--level", options->level, "Level of lines, and of objects without one")
      ->type_name("LEVEL")
      ->capture_default_str();
  command
      ->add_option("--logger", options->logger, "Likewise the logger's name (default: the file's)")
      ->type_name("NAME");
  command->add_option("--host", options->host, "Likewise the host (default: this one)")
      ->type_name("NAME");
  command
      ->add_option("--give-up-after", options->give_up_after_s,
                   "How long the API may acknowledge nothing")
      ->type_name("SECONDS")
      ->check(CLI::Range(0.001, kLongestS))
      ->capture_default_str();
  command->add_flag("--restart", options->restart,
                    "From the beginning, whatever was sent: the API gets it a second time");
  command->add_flag("--json", options->json, "The sum as one JSON object per file");
  command->footer(
      "Examples:\n"
      "  log-aggregator send /var/log/nginx/access.log --endpoint http://127.0.0.1:8080/api/logs\n"
      "  journalctl -o cat -f | log-aggregator send --logger journal\n"
      "  log-aggregator send --format ndjson old/*.json --json\n\n"
      "How far a file was acknowledged is kept, for each endpoint, in log-aggregator/send in\n"
      "$XDG_STATE_HOME or ~/.local/state. Run again, also after a crash, it goes on there, with "
      "what\n"
      "the file has grown by; the collector stores each record once. Another file in its place is\n"
      "sent from its beginning. Standard input and pipes cannot be gone on with.\n\n"
      "Exits with 0 where all has arrived, with 1 where something has not, with 2 where the call "
      "is\n"
      "wrong, and with 130 or 143 where SIGINT or SIGTERM has stopped it.");
  command->callback([options, &run] {
    if (options->files.empty()) options->files = {"-"};
    run = [options] { return send(*options); };
  });
}

}  // namespace log_aggregator::cli
