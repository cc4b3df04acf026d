// Tails: shows what the store takes to everybody who follows it, as server-sent events.
//
// One thread reads records in order after their commit, and writes them to all tails that have come
// as far and whose selection matches. A tail that begins further back, or whose client has not
// taken what was written, is read the same records later, from the store: so that a burst costs no
// memory and loses nothing. Only a client that stays slower than what arrives, until it is
// `max_lag` records behind, has records left out: they are counted, and the count is told in their
// place.

#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "collector/http/message.h"
#include "collector/search/matcher.h"
#include "collector/store/store.h"
#include "src/base/mutex.h"

namespace log_aggregator::collector {

struct TailLimits {
  std::size_t max_tails = 1'000;
  // What waits for one client, and for all; 256 KiB, or a single record that is longer, may go
  // beyond. What does not fit waits in the store.
  std::size_t max_pending_bytes = 1 << 20;
  std::size_t max_total_pending_bytes = 256 << 20;
  // Ten seconds of 5,000 records/s.
  std::int64_t max_lag = 50'000;
};

class Tails {
 public:
  // Listens to `store`, which must outlive it.
  explicit Tails(Store& store, TailLimits limits = {});
  // No tail may be open any more.
  ~Tails();
  Tails(const Tails&) = delete;
  Tails& operator=(const Tails&) = delete;

  // What follows the record `after`, or without it what is stored from now on. Nothing where there
  // are too many tails. Reads from the store.
  std::shared_ptr<HttpStream> open(Selection selection, std::optional<std::int64_t> after);

  std::size_t count() const { return count_; }
  // Records that were left out of tails.
  std::uint64_t missed() const { return missed_; }

 private:
  class Tail;
  using TailList = std::vector<std::shared_ptr<Tail>>;

  void run();
  bool wait_for_work() EXCLUDES(mutex_);
  TailList all() EXCLUDES(mutex_);
  bool show_new(const TailList& tails) EXCLUDES(mutex_);
  bool show_old(const TailList& tails) EXCLUDES(mutex_);
  bool show_after(std::int64_t begin, std::int64_t end, const TailList& tails, std::int64_t& last);
  void write_frame(const StoredRecord& record);
  void wake() EXCLUDES(mutex_);

  Store& store_;
  const TailLimits limits_;
  std::atomic<std::size_t> count_{0};
  std::atomic<std::uint64_t> missed_{0};
  std::atomic<std::size_t> pending_bytes_{0};  // of all tails

  Mutex mutex_;
  CondVar work_;
  std::vector<std::weak_ptr<Tail>> tails_ GUARDED_BY(mutex_);
  std::int64_t stored_id_ GUARDED_BY(mutex_) = 0;
  std::int64_t shown_id_ GUARDED_BY(mutex_) = 0;  // how far the foremost tails are
  bool changed_ GUARDED_BY(mutex_) = false;       // a tail is new, or can take more again
  bool closing_ GUARDED_BY(mutex_) = false;

  // Of thread_.
  Matcher matcher_;
  std::string frame_;
  std::thread thread_;
};

}  // namespace log_aggregator::collector
