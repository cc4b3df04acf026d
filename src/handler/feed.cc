#include "src/handler/feed.h"

#include <atomic>
#include <climits>
#include <cstdint>
#include <exception>
#include <string>
#include <utility>

#include "src/deliver/curl_transport.h"
#include "src/deliver/delivery.h"
#include "src/deliver/mailbox.h"
#include "src/deliver/worker.h"
#include "src/handler/options.h"

namespace log_aggregator {
namespace {

constexpr int kInfo = 20;
constexpr std::size_t kSegmentsInQueue = 16;
// The worker rests so long where it ran out of memory.
constexpr std::chrono::milliseconds kMemoryPause{100};

Options for_delivery(Options options) {
  options.retry_attempts = INT_MAX;
  options.overflow = Overflow::block;
  return options;
}

Journal::Limits journal_limits(const Options& options) {
  return {.capacity_bytes = options.queue_bytes,
          .segment_bytes = options.queue_bytes / kSegmentsInQueue,
          .overflow = options.overflow,
          .block_timeout = {}};
}

}  // namespace

class Feed::Impl {
 public:
  Impl(Options options, Endpoint endpoint, Journal::KeptElsewhere kept)
      : options_(silent_at_the_end(std::move(options))),
        endpoint_(std::move(endpoint)),
        seen_(kept.settled_through),
        journal_(journal_limits(options_), std::move(kept)),
        transport_(make_curl_transport(options_)),
        delivery_(options_, endpoint_, journal_, *transport_, mailbox_, real_clock()) {
    delivery_.hold_refused();
  }

  ~Impl() {
    ending_ = true;
    journal_.close();
    delivery_.close(real_clock().now());
    worker_.join();
  }

  bool start() {
    return worker_.start([this] {
      while (step()) {
      }
    });
  }

  bool offer(std::string_view record) {
    const Journal::Appended appended = journal_.append(kInfo, record, false);
    if (appended.wake) delivery_.wake();
    return appended.taken;
  }

  void hurry() { delivery_.flush_through(journal_.mark().through); }

  void wait_for_change(Clock::TimePoint until) {
    mailbox_.serve_until(
        until, [] {}, [this] { return journal_.settled_through() != seen_; });
    seen_ = journal_.settled_through();
  }

  // All of one moment: nothing is settled in between.
  Progress progress() const {
    Progress progress;
    Stats stats;
    do {
      progress.settled_through = journal_.settled_through();
      journal_.fill(stats);
    } while (journal_.settled_through() != progress.settled_through);
    progress.refused =
        stats.dropped_for(DropCause::refused) + stats.dropped_for(DropCause::too_large);
    progress.pending = stats.pending;
    delivery_.fill(stats);
    progress.last_error = std::move(stats.last_error);
    return progress;
  }

  const Options& options() const { return options_; }

 private:
  // What is left then is no loss to tell of.
  Options silent_at_the_end(Options options) {
    options.report = [this, report = std::move(options.report)](std::string_view line) {
      if (!ending_ && report) report(line);
    };
    return options;
  }

  bool step() {
    try {
      return delivery_.step();
    } catch (const std::exception&) {  // no memory: nothing is lost by trying again
      transport_->poll(real_clock().now() + kMemoryPause);
      return true;
    }
  }

  std::atomic<bool> ending_{false};
  const Options options_;
  const Endpoint endpoint_;
  std::uint64_t seen_;  // settled through this number
  Journal journal_;
  Mailbox mailbox_;
  const std::unique_ptr<Transport> transport_;
  Delivery delivery_;
  Worker worker_;
};

Result<std::unique_ptr<Feed>> Feed::create(Options options, Journal::KeptElsewhere kept) {
  options.spool_dir.clear();
  Result<Endpoint> endpoint = prepare_options(options);
  if (!endpoint.ok()) return endpoint.status();
  auto impl = std::make_unique<Impl>(for_delivery(std::move(options)), std::move(*endpoint),
                                     std::move(kept));
  if (!impl->start()) return Status::unavailable("the system has no thread to give");
  return std::unique_ptr<Feed>(new Feed(std::move(impl)));
}

Feed::Feed(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Feed::~Feed() = default;

bool Feed::offer(std::string_view record) { return impl_->offer(record); }
void Feed::hurry() { impl_->hurry(); }
void Feed::wait_for_change(Clock::TimePoint until) { impl_->wait_for_change(until); }
Feed::Progress Feed::progress() const { return impl_->progress(); }
const Options& Feed::options() const { return impl_->options(); }

}  // namespace log_aggregator
