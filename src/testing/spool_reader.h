// What tests of the journal share: the fates of records, and what a spool holds after a crash.

#pragma once

#include <cstdint>
#include <cstdlib>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "log_aggregator/stats.h"
#include "src/base/files.h"
#include "src/journal/orphan.h"
#include "src/journal/source.h"

namespace log_aggregator::testing {

// A record that was read, with bytes of its own.
struct ReadRecord {
  std::uint64_t sequence = 0;
  int severity = 0;
  std::string payload;
  bool operator==(const ReadRecord&) const = default;
};

// Adds a record's fate to a settlement: delivered, or given up for a cause.
inline void settle_one(Settlement& settlement, const ReadRecord& record,
                       std::optional<DropCause> cause = std::nullopt) {
  settlement.through = record.sequence;
  settlement.bytes += record.payload.size();
  ++settlement.records;
  if (!cause) return;
  ++settlement.dropped[static_cast<std::size_t>(*cause)][drop_level(record.severity)];
  settlement.given_up.push_back({record.sequence, record.sequence});
}

// The next record of a source, stepped over.
inline std::optional<ReadRecord> read_one(Source& source) {
  const std::optional<RecordView> view = source.peek();
  if (!view) return std::nullopt;
  ReadRecord record{view->sequence, view->severity, std::string(view->payload)};
  source.advance();
  return record;
}

inline std::vector<ReadRecord> read_all(Source& source) {
  std::vector<ReadRecord> records;
  while (auto record = read_one(source)) records.push_back(std::move(*record));
  return records;
}

inline void deliver(Source& source, const std::vector<ReadRecord>& records) {
  if (records.empty()) return;
  Settlement settlement;
  for (const ReadRecord& record : records) settle_one(settlement, record);
  source.settle(settlement);
}

// What recovery makes of a journal. Changes nothing but its lock.
struct Recovered {
  bool adopted = false;
  std::vector<ReadRecord> records;
  std::uint64_t missing = 0;

  std::vector<std::uint64_t> sequences() const {
    std::vector<std::uint64_t> numbers;
    for (const ReadRecord& record : records) numbers.push_back(record.sequence);
    return numbers;
  }
};

inline Recovered recover(Files& files, const std::string& root, const std::string& id) {
  Recovered recovered;
  auto orphan = Orphan::adopt(files, root, id);
  if (!orphan.ok()) return recovered;
  recovered.adopted = true;
  recovered.records = read_all(**orphan);
  recovered.missing = (*orphan)->missing().count_through(UINT64_MAX);
  return recovered;
}

// How many times as much a random test does: LOG_AGGREGATOR_SOAK, 1 where it is not set.
inline int soak_factor() {
  const char* const given = std::getenv("LOG_AGGREGATOR_SOAK");
  const int factor = given != nullptr ? std::atoi(given) : 1;
  return factor > 0 ? factor : 1;
}

}  // namespace log_aggregator::testing
