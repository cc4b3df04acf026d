// What a log call with three arguments costs a C++ program: ours, spdlog's and quill's, calls 2 us
// apart.
//
//   log_aggregator_cpp_call ENDPOINT CALLS ROUNDS
//
// Each logger once a round, so that drift of the machine meets all alike. A call is timed from
// before its arguments are formatted until it returns; `encoded` is from the same start until the
// record is there in the form in which its sink takes it: JSON, but the text alone for the null
// sink; ours has it, and in the queue, when the call returns. Ours delivers to ENDPOINT all the
// while. spdlog gets the arguments as parts of the message, ours and quill as fields. Prints one
// JSON object: for each logger the median over the rounds of p50, p99 and p99.9, and the least and
// most p50, in ns. What the clock alone takes is in all of them, and has a row of its own.
// Quantiles are those of grouped data: the clock moves in steps (of 10 ns where it counts at 100
// MHz), and a figure of this size would be decided by which of two steps it falls on.

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

#include "bench/call_under_test.h"
#include "bench/record_under_test.h"
#include "log_aggregator/handler.h"
#include "log_aggregator/spdlog_sink.h"

namespace log_aggregator::bench {
namespace {

constexpr std::int64_t kPaceNs = 2'000;

class NullSink final : public spdlog::sinks::base_sink<std::mutex> {
 protected:
  void sink_it_(const spdlog::details::log_msg&) override {}
  void flush_() override {}
};

class JsonSink final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  // Of an asynchronous logger; null: the record is encoded when the call returns.
  explicit JsonSink(Stamps* stamps) : stamps_(stamps) {}

 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    const auto unix_us =
        std::chrono::duration_cast<std::chrono::microseconds>(message.time.time_since_epoch());
    if (json_.write(unix_us.count(), {message.payload.data(), message.payload.size()}, 1).empty()) {
      std::exit(1);
    }
    if (stamps_ != nullptr) stamps_->add(now_ns());
  }
  void flush_() override {}

 private:
  Stamps* const stamps_;
  RapidjsonWriter json_;
};

class ClockAlone final : public Logger {
 public:
  void log(int) override {}
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
  bool stamps_itself() const override { return true; }

 private:
  std::shared_ptr<spdlog::details::thread_pool> pool_;
  const std::shared_ptr<spdlog::async_logger> logger_;
};

void flush(Handler& handler) {
  if (handler.flush(std::chrono::seconds(60))) return;
  std::fprintf(stderr, "not all was delivered\n");
  std::exit(1);
}

// The record is encoded, and in the queue, when the call returns.
class Ours final : public Logger {
 public:
  explicit Ours(Handler& handler) : handler_(handler) {}
  void log(int number) override {
    handler_.log(Level::info, "user logged in", logger(kLogger), field("user", kUser),
                 field("address", kAddress), field("attempts", number));
  }
  void finish() override { flush(handler_); }

 private:
  Handler& handler_;
};

// Likewise.
class SpdlogOurs final : public Logger {
 public:
  explicit SpdlogOurs(std::shared_ptr<Handler> handler)
      : handler_(std::move(handler)),
        logger_(std::string(kLogger), std::make_shared<spdlog_sink_mt>(handler_)) {}
  void log(int number) override {
    logger_.info("user {} logged in from {} after {} attempts", kUser, kAddress, number);
  }
  void finish() override { flush(*handler_); }

 private:
  const std::shared_ptr<Handler> handler_;
  spdlog::logger logger_;
};

struct Round {
  double p50, p99, p999, encoded_p50;
};

// The quantile of grouped data: calls for which the clock says the same, but for its rounding to a
// nanosecond, are taken as spread evenly, halfway to what it says of the next shorter and longer.
double quantile(const std::vector<std::int64_t>& ascending, double share) {
  const double rank = static_cast<double>(ascending.size()) * share;
  const auto place = std::min(static_cast<std::size_t>(rank), ascending.size() - 1);
  const auto first = std::lower_bound(ascending.begin(), ascending.end(), ascending[place] - 1);
  const auto end = std::upper_bound(first, ascending.end(), ascending[place] + 1);
  const auto half = [](auto later) { return static_cast<double>(*later - *(later - 1)) / 2; };
  const double above = end == ascending.end() ? 0 : half(end);
  const double below = first == ascending.begin() ? above : half(first);
  const double lowest = static_cast<double>(*first) - below;
  const double highest = static_cast<double>(*(end - 1)) + above;
  const double within =
      (rank - static_cast<double>(first - ascending.begin())) / static_cast<double>(end - first);
  return lowest + (highest - lowest) * within;
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
    const std::int64_t returned = now_ns();
    taken.push_back(returned - started);
    starts.push_back(started);
    if (!logger.stamps_itself()) stamps.add(returned);
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
  return {quantile(taken, 0.5), quantile(taken, 0.99), quantile(taken, 0.999),
          quantile(encoded, 0.5)};
}

std::shared_ptr<Handler> make_handler(const char* endpoint) {
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
      "%s\"%s\":{\"p50_ns\":%.1f,\"p50_min_ns\":%.1f,\"p50_max_ns\":%.1f,\"p99_ns\":%.1f,"
      "\"p999_ns\":%.1f,\"encoded_ns\":%.1f}",
      first ? "{" : ",", name, median(p50), *std::min_element(p50.begin(), p50.end()),
      *std::max_element(p50.begin(), p50.end()), median(p99), median(p999), median(encoded));
}

void run(const char* endpoint, int calls, int rounds) {
  Stamps stamps;
  const auto handler = make_handler(endpoint);
  using Make = std::function<std::unique_ptr<Logger>()>;
  std::vector<std::pair<const char*, Make>> loggers = {
      {"clock", [&] { return std::make_unique<ClockAlone>(); }},
      {"spdlog null",
       [&] {
         return std::make_unique<Spdlog>(
             std::make_shared<spdlog::logger>("bench", std::make_shared<NullSink>()));
       }},
      {"spdlog json",
       [&] {
         return std::make_unique<Spdlog>(
             std::make_shared<spdlog::logger>("bench", std::make_shared<JsonSink>(nullptr)));
       }},
      {"spdlog async json",
       [&] { return std::make_unique<SpdlogAsync>(std::make_shared<JsonSink>(&stamps)); }},
      {"ours spdlog", [&] { return std::make_unique<SpdlogOurs>(handler); }},
      {"ours", [&] { return std::make_unique<Ours>(*handler); }},
  };
  if (make_quill_logger(stamps)) {
    loggers.insert(loggers.end() - 2, {"quill", [&] { return make_quill_logger(stamps); }});
  }
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
