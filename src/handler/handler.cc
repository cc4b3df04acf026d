#include "log_aggregator/handler.h"

#include <algorithm>
#include <atomic>
#include <new>
#include <utility>

#include "log_aggregator/record_writer.h"
#include "src/base/clock.h"
#include "src/base/mutex.h"
#include "src/deliver/credentials.h"
#include "src/deliver/curl_transport.h"
#include "src/deliver/delivery.h"
#include "src/deliver/mailbox.h"
#include "src/deliver/worker.h"
#include "src/handler/options.h"
#include "src/journal/journal.h"

namespace log_aggregator {
namespace {

using std::chrono::milliseconds;

constexpr std::size_t kMaxSegmentBytes = 1 << 20;
constexpr std::size_t kSegmentsInQueue = 16;

// How much longer than its deadline a close waits for the worker to notice it.
constexpr milliseconds kGrace{200};
// The worker rests so long where it ran out of memory.
constexpr milliseconds kMemoryPause{100};
// Longer waits are for ever, and safe to add to any time.
constexpr milliseconds kLongestWait = std::chrono::hours(24 * 365);

Journal::Limits journal_limits(const Options& options) {
  return {.capacity_bytes = options.queue_bytes,
          .segment_bytes = std::min(kMaxSegmentBytes, options.queue_bytes / kSegmentsInQueue),
          .overflow = options.overflow,
          .block_timeout = options.block_timeout};
}

Clock::TimePoint deadline_after(milliseconds wait) {
  return real_clock().now() + std::clamp(wait, milliseconds(0), kLongestWait);
}

// What the worker uses. It shares the ownership, so that a handler can be destroyed while its
// worker is stuck in a callback of the application.
struct Pipeline {
  Pipeline(Options the_options, Endpoint the_endpoint)
      : options(std::move(the_options)),
        endpoint(std::move(the_endpoint)),
        prefix(record_prefix(options.host, options.fields)),
        journal(journal_limits(options)),
        transport(make_curl_transport(options)),
        delivery(options, endpoint, journal, *transport, mailbox, real_clock()) {}

  void run() {
    for (bool more = true; more;) {
      try {
        more = delivery.step();
      } catch (const std::exception&) {  // no memory: nothing is lost by trying again
        transport->poll(deadline_after(kMemoryPause));
      }
    }
    ended.store(true, std::memory_order_release);
    mailbox.notify();
  }

  const Options options;
  const Endpoint endpoint;
  const std::string prefix;
  Journal journal;
  Mailbox mailbox;
  const std::unique_ptr<Transport> transport;
  Delivery delivery;
  std::atomic<bool> ended{false};  // the worker has left; release: with all that it did
};

}  // namespace

class Handler::Impl {
 public:
  Impl(Options options, Endpoint endpoint)
      : pipeline_(std::make_shared<Pipeline>(std::move(options), std::move(endpoint))) {}
  ~Impl();

  bool log(int severity, std::string_view record);
  bool flush(std::optional<milliseconds> timeout);
  bool close(std::optional<milliseconds> timeout);
  bool check_connection();
  void detach_callbacks();
  Stats stats() const;
  const Pipeline& pipeline() const { return *pipeline_; }

 private:
  bool ensure_worker();
  bool flush_through(std::uint64_t sequence, Clock::TimePoint deadline);
  bool wait_until_settled(std::uint64_t sequence);
  bool end_without_worker(Clock::TimePoint deadline);

  const std::shared_ptr<Pipeline> pipeline_;

  std::atomic<bool> started_{false};  // the worker, whatever became of it since
  Mutex worker_mutex_;
  Worker worker_ GUARDED_BY(worker_mutex_);
  bool closed_ GUARDED_BY(worker_mutex_) = false;  // no worker is started any more

  // The last sequence number of the newest flush that waited for close_timeout in vain; 0: none.
  std::atomic<std::uint64_t> given_up_through_{0};
  std::atomic<bool> abandoned_{false};  // a close has waited for the worker in vain
};

// Destroyed from inside a callback, perhaps on the worker itself: it cannot wait for that.
Handler::Impl::~Impl() {
  const MutexLock lock(worker_mutex_);
  if (pipeline_->mailbox.inside_call()) worker_.abandon();
}

bool Handler::Impl::log(int severity, std::string_view record) {
  Journal& journal = pipeline_->journal;
  if (pipeline_->mailbox.inside_call()) {
    journal.count_drop(DropCause::reentrant);
    return false;
  }
  Journal::Appended appended;
  try {
    appended = journal.append(severity, record);
  } catch (const std::bad_alloc&) {
    journal.count_drop(DropCause::out_of_memory);
  }
  const bool works = started_.load(std::memory_order_relaxed) || ensure_worker();
  if (appended.wake) pipeline_->delivery.wake();
  if (!appended.taken || pipeline_->options.background) return appended.taken;
  return works && wait_until_settled(appended.sequence);
}

// False where there is no worker: the handler is closed, or the system has no thread to give, for
// which the next log call asks again.
bool Handler::Impl::ensure_worker() {
  const MutexLock lock(worker_mutex_);
  if (closed_) return false;
  if (started_.load(std::memory_order_relaxed)) return true;
  try {
    started_ = worker_.start([pipeline = pipeline_] { pipeline->run(); });
  } catch (const std::bad_alloc&) {
    return false;
  }
  return started_;
}

// Whether all records up to this one have met their fate before the deadline.
bool Handler::Impl::flush_through(std::uint64_t sequence, Clock::TimePoint deadline) {
  Pipeline& pipeline = *pipeline_;
  return pipeline.mailbox.serve_until(
      deadline, [&] { pipeline.delivery.flush_through(sequence); },
      [&] { return pipeline.journal.settled_through() >= sequence; });
}

// Whether the record was delivered.
bool Handler::Impl::wait_until_settled(std::uint64_t sequence) {
  flush_through(sequence, deadline_after(kLongestWait));
  return !pipeline_->journal.lost_from(sequence);
}

bool Handler::Impl::flush(std::optional<milliseconds> timeout) {
  if (pipeline_->mailbox.inside_call()) return false;  // the worker waits for this very thread
  const Journal& journal = pipeline_->journal;
  const Journal::Mark mark = journal.mark();
  const bool settled = flush_through(
      mark.through, deadline_after(timeout.value_or(pipeline_->options.close_timeout)));
  if (!settled && !timeout) given_up_through_.store(mark.through, std::memory_order_relaxed);
  return settled && !journal.lost_before(mark);
}

bool Handler::Impl::close(std::optional<milliseconds> timeout) {
  Pipeline& pipeline = *pipeline_;
  pipeline.journal.close();
  const std::uint64_t given_up = given_up_through_.load(std::memory_order_relaxed);
  const bool waited_already = abandoned_.load(std::memory_order_relaxed) ||
                              (given_up != 0 && given_up == pipeline.journal.mark().through);
  const auto deadline = deadline_after(
      waited_already ? milliseconds(0) : timeout.value_or(pipeline.options.close_timeout));
  if (pipeline.mailbox.inside_call()) {
    pipeline.delivery.close(deadline);
    return false;  // the worker ends when this callback has
  }
  if (end_without_worker(deadline)) return pipeline.delivery.left_over() == 0;
  const bool ended = pipeline.mailbox.serve_until(
      deadline + kGrace, [&] { pipeline.delivery.close(deadline); },
      [&] { return pipeline.ended.load(std::memory_order_acquire); });
  const MutexLock lock(worker_mutex_);
  if (!ended) {
    abandoned_.store(true, std::memory_order_relaxed);
    worker_.abandon();
    return false;
  }
  worker_.join();
  return pipeline.delivery.left_over() == 0;
}

// Where no worker was ever started, the closing thread does what is left of its work. False where
// that is another thread's business.
bool Handler::Impl::end_without_worker(Clock::TimePoint deadline) {
  {
    const MutexLock lock(worker_mutex_);
    if (std::exchange(closed_, true) || started_) return false;
  }
  pipeline_->delivery.close(deadline);
  pipeline_->run();
  return true;
}

bool Handler::Impl::check_connection() {
  const Options& options = pipeline_->options;
  Request request{.method = Request::Method::get,
                  .url = pipeline_->endpoint.health_url,
                  .headers = options.headers,
                  .body = {},
                  .timeout = options.timeout};
  if (options.auth) {
    Result<Headers> more = Status::unavailable("not asked");
    pipeline_->mailbox.run_here([&] { more = ask_application(options.auth); });
    if (!more.ok()) return false;
    request.headers.insert(request.headers.end(), more->begin(), more->end());
  }
  const std::unique_ptr<Transport> transport = make_curl_transport(options);
  transport->submit(std::move(request));
  std::optional<Response> response;
  while (!response) response = transport->poll(deadline_after(options.timeout));
  return response->status >= 200 && response->status <= 299;
}

void Handler::Impl::detach_callbacks() {
  pipeline_->mailbox.detach(deadline_after(pipeline_->options.close_timeout));
}

Stats Handler::Impl::stats() const {
  Stats stats;
  pipeline_->delivery.fill(stats);
  pipeline_->journal.fill(stats);
  return stats;
}

Result<std::unique_ptr<Handler>> Handler::create(Options options) {
  Result<Endpoint> endpoint = prepare_options(options);
  if (!endpoint.ok()) return endpoint.status();
  auto impl = std::make_unique<Impl>(std::move(options), std::move(endpoint.value()));
  return std::unique_ptr<Handler>(new Handler(std::move(impl)));
}

Handler::Handler(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Handler::~Handler() { close(); }

bool Handler::log(int severity, std::string_view record) noexcept {
  return impl_->log(severity, record);
}

bool Handler::flush(std::optional<milliseconds> timeout) noexcept { return impl_->flush(timeout); }

bool Handler::close(std::optional<milliseconds> timeout) noexcept { return impl_->close(timeout); }

bool Handler::check_connection() noexcept {
  try {
    return impl_->check_connection();
  } catch (const std::exception&) {  // no memory for the request
    return false;
  }
}

void Handler::detach_callbacks() noexcept { impl_->detach_callbacks(); }

Stats Handler::stats() const { return impl_->stats(); }

const Options& Handler::options() const { return impl_->pipeline().options; }

const std::string& Handler::record_prefix() const { return impl_->pipeline().prefix; }

}  // namespace log_aggregator
