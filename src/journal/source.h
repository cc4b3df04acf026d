// Source: what delivery reads records from and settles them with: this process's own journal, or
// one that a dead process left in the spool. Used by the worker only.

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "log_aggregator/stats.h"
#include "src/base/sequence_ranges.h"
#include "src/journal/segment.h"

namespace log_aggregator {

// What became of the records up to a sequence number, counted since the last settlement.
struct Settlement {
  std::uint64_t through = 0;            // sequence number of the last one
  std::uint64_t records = 0;            // how many were read, whatever became of them
  std::uint64_t bytes = 0;              // of their payload
  DropCounts dropped{};                 // those of them that were given up; the rest was delivered
  std::vector<SequenceRange> given_up;  // their sequence numbers, ascending
};

class Source {
 public:
  virtual ~Source() = default;

  // The journal's uuid.
  virtual const std::string& id() const = 0;
  // Whether records that are not settled outlive this process.
  virtual bool outlives_process() const = 0;

  // The oldest record that was not read yet. Its bytes stay valid until it is settled. None
  // also where it cannot be read now, but perhaps later.
  virtual std::optional<RecordView> peek() = 0;
  // Steps over the record that peek returned.
  virtual void advance() = 0;
  virtual void settle(const Settlement& settlement) = 0;

  // Numbers of records that were given up, for the collector to know, until it has acknowledged
  // that it does and all before them are settled: until then they tell recovery, too, that nothing
  // is missing there. At most so many ranges.
  virtual std::vector<SequenceRange> given_up(std::size_t most) const = 0;
  virtual void given_up_acknowledged(const std::vector<SequenceRange>& ranges) = 0;
};

}  // namespace log_aggregator
