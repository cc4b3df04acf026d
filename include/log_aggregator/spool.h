// What can be done with a spool (Options::spool_dir) beside writing it: look at it, check it, and
// deliver what dead processes have left there.
//
// Any number of processes may write to the spool meanwhile. A journal is in use while the process
// that writes it, or one that delivers it, has its lock. What is said of one in use is a snapshot;
// only drains take journals over, and only free ones. Listing and checking change nothing.
//
// All of them fail with invalid_argument where the directory is missing, a symlink, another user's
// or open to others' writing.

#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "log_aggregator/export.h"
#include "log_aggregator/options.h"
#include "log_aggregator/status.h"

namespace log_aggregator {

// What one process has in the spool.
struct SpooledJournal {
  std::string id;                  // its uuid, also the name of its directory
  bool in_use = false;             // someone has its lock
  std::uint64_t records = 0;       // whole ones that are not settled yet
  std::uint64_t record_bytes = 0;  // theirs, as JSON
  std::int64_t oldest_ns = 0;    // when the first of them was logged, since 1970; 0: there is none
  std::int64_t newest_ns = 0;    // likewise the last one
  std::uint64_t segments = 0;    // files
  std::uint64_t file_bytes = 0;  // their size
  std::uint64_t settled_through = 0;  // all records up to this number are delivered or given up
  std::uint64_t crashes = 0;          // how many of the records tell of a crash
  std::string trouble{};              // why it could not be read wholly; empty: it could
};

// The one with the oldest record first. Takes a journal's lock for a moment only, to see whether it
// is free.
LOG_AGGREGATOR_API Result<std::vector<SpooledJournal>> list_spool(const std::string& directory);

// A record that tells of a crash (Options::crash_handler) and is not settled yet.
struct SpooledCrash {
  std::string journal;       // the uuid of the one it is in
  std::int64_t time_ns = 0;  // when the process crashed, since 1970
  std::string record;        // as JSON
};

// The oldest first. What cannot be read is left out: list_spool tells of it.
LOG_AGGREGATOR_API Result<std::vector<SpooledCrash>> read_crashes(const std::string& directory);

// What was found damaged.
enum class DamageKind {
  frame_header,    // a stretch of a segment in which no record can be found
  payload,         // of a record whose header is right
  missing,         // records that no segment has, and nobody has given up
  segment_header,  // the names of the file and its directory tell the same
  commit_hint,     // how far the segment goes is not known, but for what is found in it
  cursor_slot,     // of the two, the other one counts
  unreadable,      // a file or directory; `why` has the system's reason
};

// A damaged place, and the records that it has cost.
struct SpoolDamage {
  DamageKind kind = DamageKind::missing;  // what is damaged
  std::uint64_t segment = 0;              // number of the file; 0: it is in none
  std::uint64_t offset = 0;               // in the file
  std::uint64_t bytes = 0;                // how many; 0: not known
  std::uint64_t first_sequence = 0;       // of the records it has hit; 0: none, or not known which
  std::uint64_t last_sequence = 0;        // likewise the last of them
  std::uint64_t lost = 0;                 // how many of them are lost by it: not settled before
  std::string why{};                      // the system's reason; empty but for `unreadable`

  // Whether all fields are equal.
  bool operator==(const SpoolDamage&) const = default;
};

// What reading one journal to its end has shown.
struct CheckedJournal {
  std::string id;                   // its uuid
  bool in_use = false;              // someone has its lock
  std::uint64_t segments = 0;       // files
  std::uint64_t records = 0;        // whole ones, also those that are settled
  std::vector<SpoolDamage> damage;  // none: it is sound
};

// Reads all that there is. Holds the lock of a free journal while it reads that; one in use is read
// without it: damage counts there if it is still there at a second look, and records that no
// segment has do not count, since they may be in their owner's memory.
LOG_AGGREGATOR_API Result<std::vector<CheckedJournal>> verify_spool(const std::string& directory);

// Delivers everything in a spool whose owner is gone.
//
//   auto drain = SpoolDrain::create(std::move(options));
//   if (drain.ok()) report = (*drain)->run({});
//
// Records that the API refuses for what they are (400, 413, 422) are dropped, as a handler does it.
// An answer that refuses the request as such (401, 403, 404, a redirect) is a failure like one of
// the network: an address or token that is wrong must not empty the spool. What is not delivered
// stays where it is, for the next drain or process; that holds for a drain that is killed, too.
class LOG_AGGREGATOR_API SpoolDrain {
 public:
  // How far it is.
  struct Progress {
    std::uint64_t total = 0;      // records there were at the beginning
    std::uint64_t delivered = 0;  // acknowledged by the server
    std::uint64_t dropped = 0;    // refused by the API, or damaged in the spool
    // The newest failure, which may have been overcome; empty when there was none.
    std::string last_error;
    bool stopped = false;  // by stop(): only the answer to the request under way is waited for
  };

  // How it ended.
  struct Report {
    Progress progress;                // how far it came
    std::string error;                // why it has given up; empty: it has not
    std::uint64_t left = 0;           // records in free journals
    std::vector<std::string> in_use;  // journals that were left to those who have them

    // Whether nothing was left, dropped or given up.
    bool all_delivered() const {
      return !progress.stopped && error.empty() && left + progress.dropped == 0;
    }
  };

  // Of the options, spool_dir names the directory; those that a log call or the queue would use
  // have no effect. retry_attempts failures of one batch in a row are tried again, one more ends
  // the drain. Fails with invalid_argument as Handler::create does.
  static Result<std::unique_ptr<SpoolDrain>> create(Options options);
  ~SpoolDrain();
  SpoolDrain(const SpoolDrain&) = delete;
  SpoolDrain& operator=(const SpoolDrain&) = delete;

  // Works on the calling thread until all is delivered, it has to give up, or stop(). Once only.
  // `progress` is called now and then.
  Result<Report> run(const std::function<void(const Progress&)>& progress);

  // Any thread: ends run() soon, after the answer to the request under way.
  void stop() noexcept;

 private:
  class Impl;
  explicit SpoolDrain(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace log_aggregator
