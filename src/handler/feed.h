// Feed: the core's queue and delivery for records that somebody else keeps, and numbers one after
// the other, as the lines of a file are.
//
//   auto feed = Feed::create(std::move(options), {.id = uuid, .settled_through = 1'000});
//   while (!(*feed)->offer(record_1001)) (*feed)->wait_for_change(deadline);
//   (*feed)->progress().settled_through  // 1,001, as soon as that one has met its fate
//
// Whoever keeps the records notes how far that is, and after a crash makes a feed that goes on from
// there under the same uuid: what is sent for a second time, our collector then does not store
// twice.
//
// Nothing is dropped for want of an answer, nor for one that refuses the request as such (401, 404,
// a redirect): it is tried again for as long as the feed exists. Only what the API refuses for what
// it is (400, 413, 422) is dropped and counted. For one thread.

#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "log_aggregator/options.h"
#include "log_aggregator/status.h"
#include "src/base/clock.h"
#include "src/journal/journal.h"

namespace log_aggregator {

class Feed {
 public:
  struct Progress {
    std::uint64_t settled_through = 0;  // all records up to this number have met their fate
    std::uint64_t refused = 0;  // how many of them, since the feed was made, the API did not
                                // take; it has acknowledged the others
    std::uint64_t pending = 0;  // records that were offered and are not settled
    std::string last_error;     // the newest failure, which may have been overcome
  };

  // Options of the spool, and those that say what becomes of a record that finds no room or no
  // answer, have no effect. Options::report is called on any thread. Fails as Handler::create does.
  static Result<std::unique_ptr<Feed>> create(Options options, Journal::KeptElsewhere kept);
  // At once. What is not settled stays with whoever keeps it.
  ~Feed();
  Feed(const Feed&) = delete;
  Feed& operator=(const Feed&) = delete;

  // Copies the next record, a JSON object on one line of at most max_record_bytes. False, and
  // nothing has happened, where the queue is full.
  bool offer(std::string_view record);
  // What was offered so far does not wait for more records to share its request.
  void hurry();
  // Waits until more records have met their fate than at the last call, or that time has come.
  void wait_for_change(Clock::TimePoint until);

  Progress progress() const;

  // The options in force.
  const Options& options() const;

 private:
  class Impl;
  explicit Feed(std::unique_ptr<Impl> impl);
  const std::unique_ptr<Impl> impl_;
};

}  // namespace log_aggregator
