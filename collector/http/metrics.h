// Metrics: what the collector counts of its own work, for a Prometheus server to read. The names
// are part of the contract (docs/collector.md). Any thread may count; text() is for one at a time.

#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace log_aggregator::collector {

class Metrics {
 public:
  // What is counted elsewhere, as it is now.
  struct State {
    std::uint64_t store_bytes = 0;
    std::size_t tails = 0;
    std::uint64_t missed_records = 0;
  };

  Metrics();
  ~Metrics();
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  // Of one request's records.
  void count_records(std::size_t stored, std::size_t duplicates, std::size_t bad);
  // Any answer that leaves; those below 400 do not count.
  void count_answer(int status);
  // From the whole request to its answer. `route` is one of ours, never a client's text.
  void observe_request(std::string_view route, std::chrono::duration<double> duration);

  // All of it, in the text format of Prometheus, with what others know.
  std::string text(const State& state);

 private:
  struct Families;
  std::unique_ptr<Families> families_;
};

}  // namespace log_aggregator::collector
