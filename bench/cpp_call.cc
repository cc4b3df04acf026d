// What a log call with three arguments costs a C++ program: ours and spdlog's, calls 2 us apart.
//
//   log_aggregator_cpp_call ENDPOINT CALLS ROUNDS
//
// Each logger once a round, so that drift of the machine meets all alike. A call is timed from
// before its arguments are formatted until it returns; `encoded` is from the same start until the
// record is there in the form in which its sink takes it: JSON, but the text alone for the null
// sink. Ours delivers to ENDPOINT all the while. Prints one JSON object: for each logger the
// median over the rounds of p50, p99 and p99.9, and the least and most p50, in ns.

#include <fmt/format.h>
#include <spdlog/async.h>
#include <spdlog/logger.h>
#include <spdlog/sinks/base_sink.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <iterator>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bench/record_under_test.h"
#include "log_aggregator/handler.h"

namespace log_aggregator::bench {
namespace {

constexpr std::int64_t kPaceNs = 2'000;
constexpr int kInfo = 20;
constexpr std::string_view kUser = "ada.lovelace";

std::int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

std::int64_t unix_us_now() {
  return std::chrono::duration_cast<std::chrono::microseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

// When the record of each call was encoded, in the order of the calls. Sinks of spdlog write it,
// one at a time; it is read when they are through.
class Stamps {
 public:
  void reset(std::size_t calls) {
    times_.clear();
    times_.reserve(calls);
  }
  void add() { times_.push_back(now_ns()); }
  const std::vector<std::int64_t>& times() const { return times_; }

 private:
  std::vector<std::int64_t> times_;
};

class NullSink final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  explicit NullSink(Stamps& stamps) : stamps_(stamps) {}

 protected:
  void sink_it_(const spdlog::details::log_msg&) override { stamps_.add(); }
  void flush_() override {}

 private:
  Stamps& stamps_;
};

class JsonSink final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  explicit JsonSink(Stamps& stamps) : stamps_(stamps) {}

 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    const auto unix_us =
        std::chrono::duration_cast<std::chrono::microseconds>(message.time.time_since_epoch());
    if (json_.write(unix_us.count(), {message.payload.data(), message.payload.size()}, 1).empty()) {
      std::exit(1);
    }
    stamps_.add();
  }
  void flush_() override {}

 private:
  Stamps& stamps_;
  RapidjsonWriter json_;
};

// One call, three arguments; and that all calls before it are through.
class Logger {
 public:
  virtual ~Logger() = default;
  virtual void log(int number) = 0;
  virtual void finish() {}
};

class ClockAlone final : public Logger {
 public:
  explicit ClockAlone(Stamps& stamps) : stamps_(stamps) {}
  void log(int) override { stamps_.add(); }

 private:
  Stamps& stamps_;
};

class Spdlog final : public Logger {
 public:
  explicit Spdlog(std::shared_ptr<spdlog::logger> logger) : logger_(std::move(logger)) {}
  void log(int number) override {
    logger_->info("user {} logged in from {} after {} attempts", kUser, kAddress, number);
  }

 private:
  const std::shared_ptr<spdlog::logger> logger_;
};

// Its thread writes what is left when the pool ends.
class SpdlogAsync final : public Logger {
 public:
  explicit SpdlogAsync(spdlog::sink_ptr sink)
      : pool_(std::make_shared<spdlog::details::thread_pool>(8192, 1)),
        logger_(std::make_shared<spdlog::async_logger>("bench", std::move(sink), pool_)) {}
  void log(int number) override {
    logger_->info("user {} logged in from {} after {} attempts", kUser, kAddress, number);
  }
  void finish() override { pool_.reset(); }

 private:
  std::shared_ptr<spdlog::details::thread_pool> pool_;
  const std::shared_ptr<spdlog::async_logger> logger_;
};

class Ours final : public Logger {
 public:
  Ours(Handler& handler, Stamps& stamps)
      : handler_(handler),
        stamps_(stamps),
        writer_(handler.record_prefix(), handler.options().max_record_bytes) {}

  void log(int number) override {
    text_.clear();
    fmt::format_to(std::back_inserter(text_), "user {} logged in from {} after {} attempts", kUser,
                   kAddress, number);
    const auto record = write_ours(writer_, unix_us_now(), {text_.data(), text_.size()}, 1);
    stamps_.add();
    handler_.log_json(kInfo, record);
  }
  void finish() override {
    if (!handler_.flush(std::chrono::seconds(60))) {
      std::fprintf(stderr, "not all was delivered\n");
      std::exit(1);
    }
  }

 private:
  Handler& handler_;
  Stamps& stamps_;
  RecordWriter writer_;
  fmt::memory_buffer text_;
};

struct Round {
  double p50, p99, p999, encoded_p50;
};

double at(const std::vector<std::int64_t>& ascending, double share) {
  const auto place = static_cast<std::size_t>(static_cast<double>(ascending.size()) * share);
  return static_cast<double>(ascending[std::min(place, ascending.size() - 1)]);
}

Round measure(Logger& logger, Stamps& stamps, int calls) {
  std::vector<std::int64_t> starts;
  std::vector<std::int64_t> taken;
  starts.reserve(static_cast<std::size_t>(calls));
  taken.reserve(static_cast<std::size_t>(calls));
  stamps.reset(static_cast<std::size_t>(calls));
  std::int64_t due = now_ns();
  for (int number = 0; number < calls; ++number, due += kPaceNs) {
    std::int64_t started = now_ns();
    while (started < due) started = now_ns();
    logger.log(number);
    taken.push_back(now_ns() - started);
    starts.push_back(started);
  }
  logger.finish();
  if (stamps.times().size() != starts.size()) {
    std::fprintf(stderr, "%zu of %d records were encoded\n", stamps.times().size(), calls);
    std::exit(1);
  }
  std::vector<std::int64_t> encoded;
  for (std::size_t i = 0; i < starts.size(); ++i) encoded.push_back(stamps.times()[i] - starts[i]);
  std::sort(taken.begin(), taken.end());
  std::sort(encoded.begin(), encoded.end());
  return {at(taken, 0.5), at(taken, 0.99), at(taken, 0.999), at(encoded, 0.5)};
}

std::unique_ptr<Handler> make_handler(const char* endpoint) {
  Options options;
  options.api_endpoint = endpoint;
  options.host = "bench";
  options.overflow = Overflow::block;
  options.block_timeout = std::chrono::seconds(60);
  auto handler = Handler::create(std::move(options));
  if (!handler.ok()) std::exit(1);
  return std::move(handler.value());
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

void print(const char* name, const std::vector<Round>& rounds, bool first) {
  std::vector<double> p50, p99, p999, encoded;
  for (const Round& round : rounds) {
    p50.push_back(round.p50);
    p99.push_back(round.p99);
    p999.push_back(round.p999);
    encoded.push_back(round.encoded_p50);
  }
  std::printf(
      "%s\"%s\":{\"p50_ns\":%.0f,\"p50_min_ns\":%.0f,\"p50_max_ns\":%.0f,\"p99_ns\":%.0f,"
      "\"p999_ns\":%.0f,\"encoded_ns\":%.0f}",
      first ? "{" : ",", name, median(p50), *std::min_element(p50.begin(), p50.end()),
      *std::max_element(p50.begin(), p50.end()), median(p99), median(p999), median(encoded));
}

void run(const char* endpoint, int calls, int rounds) {
  Stamps stamps;
  const auto handler = make_handler(endpoint);
  using Make = std::function<std::unique_ptr<Logger>()>;
  const std::vector<std::pair<const char*, Make>> loggers = {
      {"clock", [&] { return std::make_unique<ClockAlone>(stamps); }},
      {"spdlog null",
       [&] {
         return std::make_unique<Spdlog>(
             std::make_shared<spdlog::logger>("bench", std::make_shared<NullSink>(stamps)));
       }},
      {"spdlog json",
       [&] {
         return std::make_unique<Spdlog>(
             std::make_shared<spdlog::logger>("bench", std::make_shared<JsonSink>(stamps)));
       }},
      {"spdlog async json",
       [&] { return std::make_unique<SpdlogAsync>(std::make_shared<JsonSink>(stamps)); }},
      {"ours", [&] { return std::make_unique<Ours>(*handler, stamps); }},
  };
  std::vector<std::vector<Round>> found(loggers.size());
  for (int round = -1; round < rounds; ++round) {
    for (std::size_t i = 0; i < loggers.size(); ++i) {
      const Round result = measure(*loggers[i].second(), stamps, calls);
      if (round >= 0) found[i].push_back(result);  // the first warms up
    }
  }
  for (std::size_t i = 0; i < loggers.size(); ++i) print(loggers[i].first, found[i], i == 0);
  std::printf("}\n");
}

}  // namespace
}  // namespace log_aggregator::bench

int main(int count, char** arguments) {
  const int calls = count == 4 ? std::atoi(arguments[2]) : 0;
  const int rounds = count == 4 ? std::atoi(arguments[3]) : 0;
  if (calls < 1 || rounds < 1) {
    std::fprintf(stderr, "usage: %s ENDPOINT CALLS ROUNDS\n", arguments[0]);
    return 2;
  }
  log_aggregator::bench::run(arguments[1], calls, rounds);
  return 0;
}
