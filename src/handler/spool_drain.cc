// SpoolDrain: delivery of orphans alone, on the thread of the caller.

#include <algorithm>
#include <atomic>
#include <climits>
#include <new>
#include <optional>
#include <utility>

#include "log_aggregator/spool.h"
#include "src/base/clock.h"
#include "src/base/files.h"
#include "src/deliver/curl_transport.h"
#include "src/deliver/delivery.h"
#include "src/deliver/mailbox.h"
#include "src/handler/options.h"
#include "src/journal/journal.h"
#include "src/journal/orphan.h"

namespace log_aggregator {
namespace {

// For nothing but the notice of drops.
constexpr Journal::Limits kOwnJournal{.capacity_bytes = 256 << 10, .segment_bytes = 64 << 10};

// Delivery itself never gives a batch up: the drain does.
Options for_delivery(Options options) {
  options.retry_attempts = INT_MAX;
  return options;
}

}  // namespace

class LOG_AGGREGATOR_HIDDEN SpoolDrain::Impl {
 public:
  Impl(Options options, Endpoint endpoint, std::string directory)
      : directory_(std::move(directory)),
        retry_attempts_(options.retry_attempts),
        options_(for_delivery(std::move(options))),
        endpoint_(std::move(endpoint)),
        journal_(kOwnJournal),
        transport_(make_curl_transport(options_)),
        delivery_(options_, endpoint_, journal_, *transport_, mailbox_, real_clock(),
                  std::make_unique<Orphanage>(real_files(), directory_)) {
    delivery_.drain_only();
    delivery_.hold_refused();
    journal_.close();
  }

  Result<Report> run(const std::function<void(const Progress&)>& progress) {
    const auto before = list_spool(directory_);
    if (!before.ok()) return before.status();
    for (const SpooledJournal& journal : *before) {
      if (!journal.in_use) report_.progress.total += journal.records;
    }
    deliver(progress);
    end();
    update_progress();
    const auto after = list_spool(directory_);
    if (!after.ok()) return after.status();
    for (const SpooledJournal& journal : *after) note_left(journal);
    return report_;
  }

  void stop() noexcept {
    stop_.store(true, std::memory_order_relaxed);
    transport_->wake();
  }

 private:
  void deliver(const std::function<void(const Progress&)>& progress) {
    while (!delivery_.orphans_done()) {
      if (stop_.load(std::memory_order_relaxed)) {
        report_.progress.stopped = true;
        if (progress) progress(report_.progress);
        return;
      }
      delivery_.step();
      update_progress();
      if (progress) progress(report_.progress);
      if (delivery_.failures() > retry_attempts_) report_.error = report_.progress.last_error;
      if (cannot_read()) report_.error = "a file of the spool cannot be read";
      if (!report_.error.empty()) return;
    }
  }

  // For longer than a request may take.
  bool cannot_read() {
    const auto now = real_clock().now();
    if (!delivery_.orphan_is_stuck()) {
      stuck_since_.reset();
      return false;
    }
    if (!stuck_since_) stuck_since_ = now;
    return now - *stuck_since_ >= options_.timeout;
  }

  // Waits for the answer to the request under way, and where the API answers, for that to the
  // notice of drops. What is in hand then stays in the spool.
  void end() {
    const auto deadline = real_clock().now() + options_.timeout;
    while (delivery_.waits_for_answer() && real_clock().now() < deadline) delivery_.step();
    const bool all = delivery_.orphans_done();
    delivery_.close(all ? deadline : real_clock().now());
    while (delivery_.step()) {
    }
  }

  void update_progress() {
    Stats stats;
    delivery_.fill(stats);
    report_.progress.delivered = stats.adopted_delivered;
    report_.progress.dropped = stats.adopted_dropped;
    report_.progress.last_error = std::move(stats.last_error);
  }

  void note_left(const SpooledJournal& journal) {
    if (journal.in_use) {
      report_.in_use.push_back(journal.id);
      return;
    }
    report_.left += journal.records;
    if (report_.error.empty() && !journal.trouble.empty()) report_.error = journal.trouble;
  }

  const std::string directory_;
  const int retry_attempts_;
  const Options options_;
  const Endpoint endpoint_;
  Journal journal_;
  Mailbox mailbox_;
  const std::unique_ptr<Transport> transport_;
  Delivery delivery_;
  Report report_;
  std::optional<Clock::TimePoint> stuck_since_;
  std::atomic<bool> stop_{false};
};

Result<std::unique_ptr<SpoolDrain>> SpoolDrain::create(Options options) {
  const std::string directory = std::exchange(options.spool_dir, {});
  options.crash_handler = false;
  if (Status usable = real_files().check_private_directory(directory); !usable.ok()) return usable;
  Result<Endpoint> endpoint = prepare_options(options);
  if (!endpoint.ok()) return endpoint.status();
  auto impl = std::make_unique<Impl>(std::move(options), std::move(*endpoint), directory);
  return std::unique_ptr<SpoolDrain>(new SpoolDrain(std::move(impl)));
}

SpoolDrain::SpoolDrain(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
SpoolDrain::~SpoolDrain() = default;

Result<SpoolDrain::Report> SpoolDrain::run(const std::function<void(const Progress&)>& progress) {
  try {
    return impl_->run(progress);
  } catch (const std::bad_alloc&) {
    return Status(StatusCode::out_of_memory, "no memory to drain the spool");
  }
}

void SpoolDrain::stop() noexcept { impl_->stop(); }

}  // namespace log_aggregator
