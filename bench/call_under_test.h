// What the comparison of log calls in C++ (cpp_call.cc) asks of a logger.

#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

namespace log_aggregator::bench {

inline constexpr std::string_view kUser = "ada.lovelace";

inline std::int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

// When the record of each call was encoded, in the order of the calls. Written by one at a time,
// and read when they are through.
class Stamps {
 public:
  void reset(std::size_t calls) {
    times_.clear();
    times_.reserve(calls);
  }
  void add(std::int64_t now) { times_.push_back(now); }
  const std::vector<std::int64_t>& times() const { return times_; }

 private:
  std::vector<std::int64_t> times_;
};

// One call, three arguments; and that all calls before it are through.
class Logger {
 public:
  virtual ~Logger() = default;
  virtual void log(int number) = 0;
  virtual void finish() {}
  // Whether its sink says when a record is encoded, on a thread of its own; else it is so when the
  // call returns.
  virtual bool stamps_itself() const { return false; }
};

// quill's asynchronous logger with a sink that writes JSON; null where it is not built in.
std::unique_ptr<Logger> make_quill_logger(Stamps& stamps);

}  // namespace log_aggregator::bench
