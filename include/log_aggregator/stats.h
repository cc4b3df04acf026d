// Stats: what became of every record that was logged through a handler.
//
// At any moment accepted = delivered + pending + the sum of dropped. The handler's own notices of
// drops (`log_aggregator.dropped`, at most one in 30 s) are records like any other and count.

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "log_aggregator/export.h"

namespace log_aggregator {

// Why a record was given up. Names and order are part of the interface: do not change, add at the
// end.
enum class DropCause {
  queue_full,         // the queue or the spool was full and the policy is drop_newest
  evicted,            // made room for newer records under drop_oldest
  block_timeout,      // the queue stayed full for block_timeout under block
  retries_exhausted,  // the network or the server failed until retry_attempts ran out
  refused,            // the server answered that it will not take the record (4xx)
  unauthorized,       // 401 or 403, also with fresh credentials
  too_large,          // 413 for this record alone, or more than half of queue_bytes
  closed,             // logged after close(), or left over in memory when close_timeout ended
  reentrant,          // logged from inside the handler's own callbacks
  out_of_memory,      // no memory to keep it
  damaged,            // the spool's file could not be read back
};
// How many causes there are.
inline constexpr std::size_t kDropCauses = 11;

// The enumerator's own name, as reports and metrics have it.
LOG_AGGREGATOR_API std::string_view drop_cause_name(DropCause cause);

// Drops are counted by the level below which a record's severity is, too: DEBUG (below 20), INFO
// (below 30), WARNING (below 40), ERROR (below 50), CRITICAL.
inline constexpr std::size_t kDropLevels = 5;
// Which of these a severity falls under, from 0.
LOG_AGGREGATOR_API std::size_t drop_level(int severity);
// The name of one of them, as "WARNING".
LOG_AGGREGATOR_API std::string_view drop_level_name(std::size_t level);

// Records of each of these levels.
using LevelCounts = std::array<std::uint64_t, kDropLevels>;
using DropCounts = std::array<LevelCounts, kDropCauses>;  // indexed by DropCause, then by level
// The sum over levels.
LOG_AGGREGATOR_API std::uint64_t total(const LevelCounts& counts);
// The sum over causes and levels.
LOG_AGGREGATOR_API std::uint64_t total(const DropCounts& counts);

// Counts since the handler was created, taken at one moment.
struct LOG_AGGREGATOR_API Stats {
  std::uint64_t accepted = 0;           // records that log calls handed over
  std::uint64_t delivered = 0;          // acknowledged by the server with 2xx
  DropCounts dropped{};                 // given up, by cause and level
  std::uint64_t pending = 0;            // queued, spooled or under way
  std::uint64_t pending_bytes = 0;      // their size as JSON
  std::uint64_t durable = 0;            // of accepted: delivered, dropped, or safe from a power cut
  std::uint64_t adopted_delivered = 0;  // found in spools of processes that are gone, delivered
  std::uint64_t adopted_dropped = 0;    // found there and given up, or damaged there
  std::uint64_t retries = 0;            // requests sent again after a failure
  std::uint64_t batches = 0;            // requests that delivered records
  std::uint64_t bytes_sent = 0;         // bodies of all requests, as they went over the wire
  std::string last_error;               // the newest failure; empty when there was none

  // Records of all levels that were given up for this cause.
  std::uint64_t dropped_for(DropCause cause) const;
  // Records that were given up, for whatever cause.
  std::uint64_t dropped_total() const;
};

}  // namespace log_aggregator
