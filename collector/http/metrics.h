// Metrics: what the collector counts of its own work, for a Prometheus server to read. The names
// are part of the contract (docs/collector.md). Every method may be called from any thread.

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

  // A live tail is one stream.
  void tail_opened();
  void tail_closed();
  void count_missed(std::size_t records);

  // All of it, in the text format of Prometheus. `store_bytes` is how large the store is now.
  std::string text(std::uint64_t store_bytes) const;

 private:
  struct Families;
  std::unique_ptr<Families> families_;
};

}  // namespace log_aggregator::collector
