// The application of the reliability experiments in C++: tests/reliability/application.py with
// spdlog and our sink in the place of logging and our handler.
//
//   log_aggregator_spdlog_application CONFIG
//
// CONFIG is the JSON object of reliability/harness.py. What it tells the harness, and how, is
// described in reliability/acks.py: this file has a copy of that layout.

#include <fcntl.h>
#include <simdjson.h>
#include <spdlog/spdlog.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "log_aggregator/spdlog_sink.h"

namespace log_aggregator::testing {
namespace {

using std::chrono::nanoseconds;
using std::chrono::seconds;
using Clock = std::chrono::steady_clock;

// ---- what the harness says

struct Config {
  explicit Config(const simdjson::dom::element& json)
      : run(std::string_view(json["run"])),
        endpoint(std::string_view(json["endpoint"])),
        acks(std::string_view(json["acks"])),
        reports(std::string_view(json["reports"])),
        end(std::string_view(json["end"])),
        child_end(std::string_view(json["child_end"])),
        acks_writers(json["acks_writers"]),
        acks_threads(json["acks_threads"]),
        threads(json["threads"]),
        first_writer(json["first_writer"]),
        first_thread(json["first_thread"]),
        records(json["records"]),
        children(json["children"]),
        child_records(json["child_records"]),
        wait(json["wait"]),
        rate(json["rate"]),
        fork_every(json["fork_every"]) {
    if (!json["spool"].is_null()) spool = std::string_view(json["spool"]);
    for (const auto& [name, value] : json["options"].get_object()) {
      options[std::string(name)] = double(value);
    }
  }

  std::string run, endpoint, acks, reports, end, child_end, spool;
  std::uint64_t acks_writers, acks_threads, threads, first_writer, first_thread, records, children,
      child_records;
  bool wait;
  double rate, fork_every;                // in a second, of each thread; in seconds
  std::map<std::string, double> options;  // of the handler, as Python names and counts them
};

std::chrono::milliseconds milliseconds_of(double in_seconds) {
  constexpr double kMilli = 1000;
  return std::chrono::milliseconds(static_cast<std::int64_t>(in_seconds * kMilli));
}

Options handler_options(const Config& config) {
  Options options;
  options.api_endpoint = config.endpoint;
  options.spool_dir = config.spool;
  for (const auto& [name, value] : config.options) {
    if (name == "retry_attempts") {
      options.retry_attempts = static_cast<int>(value);
    } else if (name == "retry_delay") {
      options.retry_delay = milliseconds_of(value);
    } else if (name == "close_timeout") {
      options.close_timeout = milliseconds_of(value);
    } else if (name == "queue_bytes") {
      options.queue_bytes = static_cast<std::size_t>(value);
    } else if (name == "spool_max_bytes") {
      options.spool_max_bytes = static_cast<std::size_t>(value);
    } else {
      throw std::runtime_error("unknown option " + name);
    }
  }
  return options;
}

// ---- what the harness is told

class Acks {
 public:
  explicit Acks(const Config& config)
      : writers_(config.acks_writers), threads_(config.acks_threads) {
    const int file = ::open(config.acks.c_str(), O_RDWR | O_CLOEXEC);
    struct stat status {};
    if (file < 0 || ::fstat(file, &status) != 0) throw std::runtime_error("no " + config.acks);
    void* const mapped = ::mmap(nullptr, static_cast<std::size_t>(status.st_size),
                                PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    ::close(file);
    if (mapped == MAP_FAILED) throw std::runtime_error("cannot map " + config.acks);
    words_ = static_cast<std::uint64_t*>(mapped);
  }

  bool stopped() const { return word(kStop).load(std::memory_order_relaxed) != 0; }
  void stop() { word(kStop) = 1; }
  void ready() { ++word(kReady); }
  void child_hung() { ++word(kHung); }
  void child_died() { ++word(kDied); }

  // Of a writer, that so many of its calls have returned.
  void returned(std::uint64_t writer, std::uint64_t count) {
    word(kHeader + writer).store(count, std::memory_order_release);
  }
  // How long a call of a thread took.
  void took(std::uint64_t thread, nanoseconds duration) {
    const std::uint64_t phase = word(kPhase).load(std::memory_order_relaxed);
    const std::uint64_t first = kHeader + writers_ + (thread * kPhases + phase) * kBuckets;
    const auto count = word(first + bucket_of(static_cast<std::uint64_t>(duration.count())));
    count.store(count.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  }
  std::uint64_t last_thread() const { return threads_ - 1; }

 private:
  static constexpr std::uint64_t kPhase = 0, kStop = 1, kReady = 2, kHung = 3, kDied = 4,
                                 kHeader = 8;
  static constexpr std::uint64_t kPhases = 3, kBuckets = 640;

  static std::uint64_t bucket_of(std::uint64_t duration) {
    constexpr std::uint64_t kShortest = 16;
    duration = std::max(duration, kShortest);
    const auto size = static_cast<std::uint64_t>(std::bit_width(duration));
    return (size - 4) * 16 + ((duration >> (size - 5)) & 15);
  }

  std::atomic_ref<std::uint64_t> word(std::uint64_t place) const {
    return std::atomic_ref(words_[place]);
  }

  std::uint64_t* words_ = nullptr;
  const std::uint64_t writers_, threads_;
};

// ---- what it does

class Application {
 public:
  explicit Application(const Config& config)
      : config_(config),
        acks_(config),
        logger_(spdlog_logger_mt("app", handler_options(config))),
        handler_(*dynamic_cast<spdlog_sink_mt&>(*logger_->sinks().front()).handler()) {}

  void run() {
    std::vector<std::thread> threads;
    for (std::uint64_t i = 0; i < config_.threads; ++i) {
      threads.emplace_back([this, i] {
        write(config_.first_writer + i, config_.first_thread + i, config_.records, config_.rate);
      });
    }
    acks_.ready();
    if (config_.children > 0) fork_children();
    for (std::thread& thread : threads) thread.join();
    if (threads.empty() || config_.wait) {
      while (!acks_.stopped()) std::this_thread::sleep_for(kLook);
    }
    end(config_.end);
  }

 private:
  static constexpr auto kLook = std::chrono::milliseconds(1);
  static constexpr auto kChildDeadline = seconds(30);
  static constexpr std::size_t kChildrenAtOnce = 8;

  // Logs until `limit` (0: none) or until told to stop.
  void write(std::uint64_t writer, std::uint64_t thread, std::uint64_t limit, double rate) {
    constexpr auto kHeldUp = std::chrono::milliseconds(100);
    const nanoseconds interval(rate > 0 ? static_cast<std::int64_t>(1e9 / rate) : 0);
    Clock::time_point due = Clock::now();
    for (std::uint64_t number = 0; (limit == 0 || number < limit) && !acks_.stopped();) {
      const Clock::time_point began = Clock::now();
      SPDLOG_LOGGER_INFO(logger_, "{} {} {} order placed by {} from {}", config_.run, writer,
                         number, "ada", "192.168.1.100");
      const nanoseconds took = Clock::now() - began;
      acks_.returned(writer, ++number);
      acks_.took(thread, took);
      if (interval.count() == 0) continue;
      due += interval;
      if (Clock::now() > due + kHeldUp) due = Clock::now();  // that is no reason for a burst
      std::this_thread::sleep_until(due);
    }
  }

  // What the handler gave up, now that it has delivered what it can.
  void report() {
    handler_.close();
    const Stats stats = handler_.stats();
    const std::string name =
        std::to_string(::getpid()) + "-" + std::to_string(config_.first_writer) + ".json";
    std::ofstream(config_.reports + "/" + name)
        << "{\"dropped\":" << stats.dropped_total() + stats.adopted_dropped << "}";
  }

  void end(const std::string& how) {
    if (how == "return") return report();
    if (how == "exit") ::_exit(0);
    if (how == "terminate") ::raise(SIGTERM);
    if (how == "abort") std::abort();
    if (how == "segfault") *const_cast<volatile int*>(nowhere_) = 0;
    throw std::runtime_error(how + " did not end the process");
  }

  // ---- forks

  void fork_children() {
    const std::uint64_t first = config_.first_writer + config_.threads;
    for (std::uint64_t number = 0; number < config_.children; ++number) {
      while (children_.size() >= kChildrenAtOnce) reap();
      std::this_thread::sleep_for(milliseconds_of(config_.fork_every));
      const pid_t child = ::fork();
      if (child == 0) be_child(first + number);
      children_[child] = Clock::now() + kChildDeadline;
    }
    while (!children_.empty()) reap();
    acks_.stop();
  }

  [[noreturn]] void be_child(std::uint64_t writer) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // one that hangs must not outlive the run
    // The last histogram is shared by children, so their times do not count.
    write(writer, acks_.last_thread(), config_.child_records, 0);
    if (config_.child_end == "exit") ::_exit(0);
    if (config_.child_end == "abort") std::abort();
    report();
    std::exit(0);
  }

  void reap() {
    int status = 0;
    const pid_t child = ::waitpid(-1, &status, WNOHANG);
    if (child > 0) {
      const bool killed = children_.extract(child).mapped() == Clock::time_point::max();
      if (status != 0 && !killed) {
        acks_.child_died();
        std::fprintf(stderr, "child %d ended with status %#x\n", child, status);
      }
      return;
    }
    for (auto& [late, deadline] : children_) {
      if (Clock::now() < deadline) continue;
      acks_.child_hung();
      ::kill(late, SIGKILL);
      deadline = Clock::time_point::max();
    }
    std::this_thread::sleep_for(kLook);
  }

  const Config& config_;
  Acks acks_;
  const std::shared_ptr<spdlog::logger> logger_;
  Handler& handler_;
  const int* const nowhere_ = nullptr;
  std::map<pid_t, Clock::time_point> children_;
};

int run(const char* config) {
  const rlimit no_core{0, 0};
  ::setrlimit(RLIMIT_CORE, &no_core);
  simdjson::dom::parser parser;
  const Config read(parser.parse(std::string_view(config)));
  Application(read).run();
  return 0;
}

}  // namespace
}  // namespace log_aggregator::testing

int main(int count, char** arguments) {
  if (count != 2) {
    std::fprintf(stderr, "usage: %s CONFIG\n", arguments[0]);
    return 2;
  }
  try {
    return log_aggregator::testing::run(arguments[1]);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
