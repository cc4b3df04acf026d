#include "log_aggregator/handler.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <new>
#include <thread>
#include <utility>

#include "src/base/clock.h"
#include "src/base/files.h"
#include "src/base/mutex.h"
#include "src/base/not_cancelled.h"
#include "src/base/trust_store.h"
#include "src/deliver/credentials.h"
#include "src/deliver/curl_transport.h"
#include "src/deliver/delivery.h"
#include "src/deliver/mailbox.h"
#include "src/deliver/reporter.h"
#include "src/deliver/worker.h"
#include "src/handler/backend.h"
#include "src/handler/crash_handler.h"
#include "src/handler/fork.h"
#include "src/handler/options.h"
#include "src/handler/record_encoder.h"
#include "src/handler/record_writer.h"
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
  const bool spools = !options.spool_dir.empty();
  const std::size_t in_memory = std::min(kMaxSegmentBytes, options.queue_bytes / kSegmentsInQueue);
  return {.capacity_bytes = spools ? options.spool_max_bytes : options.queue_bytes,
          .segment_bytes = spools ? options.segment_bytes : in_memory,
          .overflow = options.overflow,
          .block_timeout = options.block_timeout};
}

std::optional<Journal::SpoolPlan> spool_plan(const Options& options, bool mapped) {
  if (options.spool_dir.empty()) return std::nullopt;
  return Journal::SpoolPlan{.files = real_files(),
                            .root = options.spool_dir,
                            .mapped = mapped,
                            .memory_bytes = options.queue_bytes,
                            .durability = options.durability,
                            .sync_interval = options.sync_interval};
}

std::unique_ptr<Orphanage> orphanage(const Options& options) {
  if (options.spool_dir.empty()) return nullptr;
  return std::make_unique<Orphanage>(real_files(), options.spool_dir, options.durability);
}

bool has_journals(const std::string& spool) {
  const auto journals = journals_in(real_files(), spool);
  return journals.ok() && !journals->empty();
}

Clock::TimePoint deadline_after(milliseconds wait) {
  return real_clock().now() + std::clamp(wait, milliseconds(0), kLongestWait);
}

RecordEncoder::Common records_of(const Options& options) {
  return {.id = next_encoder_id(),
          .prefix = record_prefix(options.host, options.fields),
          .logger = options.logger,
          .max_record_bytes = options.max_record_bytes};
}

Status no_memory() { return {StatusCode::out_of_memory, "no memory for a handler"}; }

// What a handler was told to be, for all its life and that of its forked children's handlers.
struct Settings {
  Settings(Options the_options, Endpoint the_endpoint)
      : options(std::move(the_options)),
        endpoint(std::move(the_endpoint)),
        maps_spool(!options.spool_dir.empty() &&
                   real_files().keeps_reservations(options.spool_dir)) {}

  const Options options;
  const Endpoint endpoint;
  const bool maps_spool;
  const TrustStore trust;
};

// What the worker uses. It shares the ownership, so that a handler can be destroyed while its
// worker is stuck in a callback of the application. It belongs to one process: a forked child makes
// its own.
struct Pipeline {
  Pipeline(std::shared_ptr<const Settings> the_settings, const void* owner)
      : settings(std::move(the_settings)),
        options(settings->options),
        journal(journal_limits(options), spool_plan(options, settings->maps_spool)),
        mailbox(owner),
        transport(make_curl_transport(options, settings->trust)),
        delivery(options, settings->endpoint, journal, *transport, mailbox, real_clock(),
                 orphanage(options)) {}

  // Delivers until the handler is closed. False in a child that a callback has forked.
  bool run() {
    try {
      tell_of_missing_crash_handler();
      while (step()) {
      }
    } catch (const LeftBehind&) {
      return false;
    }
    ended.store(true, std::memory_order_release);
    mailbox.notify();
    return true;
  }

  // An application is not to end because there is no room for its last words: it only learns of it,
  // once. No mutex of a handler may be held: the callback may fork. Throws LeftBehind.
  void tell_of_missing_crash_handler() {
    const Status made = std::exchange(crash_handler_made, Status());
    if (made.ok()) return;
    Reporter(options, mailbox, real_clock())
        .note(Reporter::Note::disk, "a crash will not be recorded: " + made.message());
  }

  bool step() {
    try {
      return delivery.step();
    } catch (const std::exception&) {  // no memory: nothing is lost by trying again
      if (delivery.give_up()) return false;
      std::this_thread::sleep_for(kMemoryPause);
      return true;
    }
  }

  const std::shared_ptr<const Settings> settings;
  const Options& options;
  Journal journal;
  Mailbox mailbox;
  const std::unique_ptr<Transport> transport;
  Delivery delivery;
  Status crash_handler_made;       // of who makes the pipeline, then of who tells of it
  std::atomic<bool> ended{false};  // the worker has left; release: with all that it did
  // In a child, of its parent's: nobody may destroy what the parent's threads were using.
  std::shared_ptr<Pipeline> keeps_itself;
};

// The worker's thread. A child that a callback has forked on it would return into the parent's work
// and has no other thread: it ends.
void work(Pipeline& pipeline) {
  if (!pipeline.run()) ::_exit(0);
}

}  // namespace

class LOG_AGGREGATOR_HIDDEN Handler::Impl final : public Backend, private ForkAware {
 public:
  Impl(Options options, Endpoint endpoint)
      : Backend(records_of(options)),
        settings_(std::make_shared<Settings>(std::move(options), std::move(endpoint))) {}
  ~Impl() override;

  // Makes it ready for use, forks included.
  Status open();

  std::optional<bool> log_json(int severity, std::string_view record, bool may_wait) override;
  bool flush(std::optional<milliseconds> timeout) override;
  bool close(std::optional<milliseconds> timeout) override;
  bool check_connection() override;
  void detach_callbacks(std::optional<milliseconds> timeout) override;
  Stats stats() const override;
  const Options& options() const override { return settings_->options; }

 private:
  // Null where there was no memory for one; asking again may help.
  Pipeline* current() EXCLUDES(worker_mutex_);
  [[gnu::cold]] Pipeline* make_pipeline() EXCLUDES(worker_mutex_);
  Status watch_for_crashes() REQUIRES(worker_mutex_);
  bool end(std::optional<milliseconds> timeout) EXCLUDES(worker_mutex_);

  bool ensure_worker() EXCLUDES(worker_mutex_);
  bool flush_through(Pipeline& pipeline, std::uint64_t sequence, Clock::TimePoint deadline);
  bool wait_until_settled(Pipeline& pipeline, std::uint64_t sequence);
  bool ends_without_worker() EXCLUDES(worker_mutex_);
  bool wait_for_end(Pipeline& pipeline, Clock::TimePoint deadline) EXCLUDES(worker_mutex_);

  // Whether the calling thread has been in a callback that forked, and this is the child, whose
  // handler knows nothing of what the caller has begun.
  bool left_behind(const Pipeline& pipeline) const {
    return pipeline_.load(std::memory_order_relaxed) != &pipeline;
  }

  void before_fork() override;
  void after_fork_in_parent() override;
  void after_fork_in_child() override;

  const std::shared_ptr<const Settings> settings_;

  // Null in a child until it is needed: most children log nothing, and a fork is no place to make
  // one. Acquire and release: whoever sees the pointer sees the pipeline complete. In one process
  // it changes once, from null.
  std::atomic<Pipeline*> pipeline_{nullptr};
  std::atomic<bool> started_{false};  // the worker, whatever became of it since

  Mutex worker_mutex_;
  std::shared_ptr<Pipeline> owner_ GUARDED_BY(worker_mutex_);  // of pipeline_
  Worker worker_ GUARDED_BY(worker_mutex_);
  bool closed_ GUARDED_BY(worker_mutex_) = false;  // no worker is started any more
  bool detached_ GUARDED_BY(worker_mutex_) = false;
  bool ends_here_ GUARDED_BY(worker_mutex_) = false;  // a close does the work of a worker
  // Of this process, like the pipeline; null where none was asked for, or there is no room for one.
  std::unique_ptr<CrashHandler> crash_handler_ GUARDED_BY(worker_mutex_);

  // The last sequence number of the newest flush that waited for close_timeout in vain; 0: none.
  std::atomic<std::uint64_t> given_up_through_{0};
  std::atomic<bool> abandoned_{false};  // a close has waited for the worker in vain
};

Status Handler::Impl::open() {
  const std::string& spool = settings_->options.spool_dir;
  // Before there is one of our own in it.
  const bool others_left = !spool.empty() && has_journals(spool);
  Pipeline* const pipeline = current();
  if (pipeline == nullptr || !ForkWatch::add(*this)) return no_memory();
  try {
    pipeline->tell_of_missing_crash_handler();
  } catch (const LeftBehind&) {
    return {};  // a child that was forked meanwhile, which the handler is ready for
  }
  // What earlier processes have left does not wait for this one's first record.
  if (others_left) ensure_worker();
  return {};
}

// Destroyed from inside a callback, perhaps on the worker itself: it cannot wait for that.
Handler::Impl::~Impl() {
  Impl::close(std::nullopt);
  ForkWatch::remove(*this);
  const MutexLock lock(worker_mutex_);
  if (owner_ && owner_->mailbox.inside_call()) worker_.abandon();
}

Pipeline* Handler::Impl::current() {
  Pipeline* const known = pipeline_.load(std::memory_order_acquire);
  return known != nullptr ? known : make_pipeline();
}

Pipeline* Handler::Impl::make_pipeline() {
  const NotCancelled guard;
  const MutexLock lock(worker_mutex_);
  if (owner_) return owner_.get();
  try {
    owner_ = std::make_shared<Pipeline>(settings_, this);
  } catch (const std::exception&) {
    return nullptr;
  }
  if (closed_) owner_->journal.close();
  if (settings_->options.crash_handler && !closed_) {
    owner_->crash_handler_made = watch_for_crashes();
  }
  if (detached_) owner_->mailbox.detach(real_clock().now());
  pipeline_.store(owner_.get(), std::memory_order_release);
  return owner_.get();
}

Status Handler::Impl::watch_for_crashes() {
  try {
    auto made = CrashHandler::create(settings_->options, records_.prefix, settings_->maps_spool);
    if (made.ok()) crash_handler_ = std::move(*made);
    return made.status();
  } catch (const std::exception&) {
    return {StatusCode::out_of_memory, "no memory"};
  }
}

// ---- around a fork

void Handler::Impl::before_fork() NO_THREAD_SAFETY_ANALYSIS {
  worker_mutex_.lock();
  if (!owner_) return;
  owner_->mailbox.lock_for_fork();
  owner_->journal.lock_for_fork();
}

void Handler::Impl::after_fork_in_parent() NO_THREAD_SAFETY_ANALYSIS {
  if (owner_) {
    owner_->journal.unlock_after_fork();
    owner_->mailbox.unlock_after_fork();
  }
  worker_mutex_.unlock();
}

// The mutexes are released for a thread that returns from a callback, see left_behind().
void Handler::Impl::after_fork_in_child() NO_THREAD_SAFETY_ANALYSIS {
  if (owner_) {
    Pipeline& old = *owner_;
    old.journal.close_descriptors_in_child();
    old.mailbox.leave_behind();
    old.journal.unlock_after_fork();
    old.mailbox.unlock_after_fork();
    old.keeps_itself = std::move(owner_);
  }
  if (crash_handler_) crash_handler_.release()->leave_in_child();
  worker_.forget();
  pipeline_ = nullptr;
  started_ = false;
  ends_here_ = false;
  unkept_.reset();
  given_up_through_ = 0;
  abandoned_ = false;
  worker_mutex_.unlock();
}

// ---- logging

std::optional<bool> Handler::Impl::log_json(int severity, std::string_view record, bool may_wait) {
  if (!may_wait && !settings_->options.background) return std::nullopt;
  Pipeline* const pipeline = current();
  if (pipeline == nullptr) {
    unkept_.count(severity);
    return false;
  }
  Journal& journal = pipeline->journal;
  if (record.empty()) {
    journal.count_drop(DropCause::refused, severity);
    return false;
  }
  if (pipeline->mailbox.inside_call()) {
    journal.count_drop(DropCause::reentrant, severity);
    return false;
  }
  Journal::Appended appended;
  try {
    appended = journal.append(severity, record, may_wait);
  } catch (const std::bad_alloc&) {
    journal.count_drop(DropCause::out_of_memory, severity);
  }
  if (appended.would_wait) return std::nullopt;
  const bool works = started_.load(std::memory_order_relaxed) || ensure_worker();
  if (appended.wake) pipeline->delivery.wake();
  if (!appended.taken || pipeline->options.background) return appended.taken;
  return works && wait_until_settled(*pipeline, appended.sequence);
}

// False where there is no worker: the handler is closed, or the system has no thread to give, for
// which the next log call asks again.
bool Handler::Impl::ensure_worker() {
  const MutexLock lock(worker_mutex_);
  if (closed_) return false;
  if (started_.load(std::memory_order_relaxed)) return true;
  try {
    started_ = worker_.start([pipeline = owner_] { work(*pipeline); });
  } catch (const std::bad_alloc&) {
    return false;
  }
  return started_;
}

// Whether all records up to this one have met their fate before the deadline.
bool Handler::Impl::flush_through(Pipeline& pipeline, std::uint64_t sequence,
                                  Clock::TimePoint deadline) {
  return pipeline.mailbox.serve_until(
      deadline, [&] { pipeline.delivery.flush_through(sequence); },
      [&] { return pipeline.journal.settled_through() >= sequence; });
}

// Whether the record was delivered. One that stays in the spool when retries have run out was not
// yet.
bool Handler::Impl::wait_until_settled(Pipeline& pipeline, std::uint64_t sequence) {
  const auto is_settled = [&] { return pipeline.journal.settled_through() >= sequence; };
  pipeline.mailbox.serve_until(
      deadline_after(kLongestWait), [&] { pipeline.delivery.flush_through(sequence); },
      [&] { return is_settled() || pipeline.delivery.kept_through() >= sequence; });
  return is_settled() && !pipeline.journal.lost_from(sequence);
}

bool Handler::Impl::flush(std::optional<milliseconds> timeout) {
  Pipeline* const pipeline = pipeline_.load(std::memory_order_acquire);
  if (pipeline == nullptr) return unkept_.none();     // a child that has logged nothing
  if (pipeline->mailbox.inside_call()) return false;  // the worker waits for this very thread
  const Journal& journal = pipeline->journal;
  const Journal::Mark mark = journal.mark();
  const bool settled = flush_through(
      *pipeline, mark.through, deadline_after(timeout.value_or(settings_->options.close_timeout)));
  if (left_behind(*pipeline)) return false;
  if (!settled && !timeout) given_up_through_.store(mark.through, std::memory_order_relaxed);
  return settled && !journal.lost_before(mark) && unkept_.none();
}

// ---- closing

// What crashes from the end on has nothing more to say here.
bool Handler::Impl::close(std::optional<milliseconds> timeout) {
  const bool all = end(timeout);
  const MutexLock lock(worker_mutex_);
  crash_handler_.reset();
  return all;
}

bool Handler::Impl::end(std::optional<milliseconds> timeout) {
  Pipeline* current = nullptr;
  {
    const MutexLock lock(worker_mutex_);
    closed_ = true;
    current = owner_.get();
  }
  if (current == nullptr) return true;  // a child that has logged nothing
  Pipeline& pipeline = *current;
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
  if (ends_without_worker()) {
    pipeline.delivery.close(deadline);
    if (!pipeline.run()) return false;
  } else if (!wait_for_end(pipeline, deadline)) {
    return false;
  }
  return pipeline.delivery.left_over() == 0;
}

// Whether the closing thread has to do what is left of the worker's work: where none was ever
// started, and no other thread is at it.
bool Handler::Impl::ends_without_worker() {
  const MutexLock lock(worker_mutex_);
  return !std::exchange(ends_here_, true) && !started_;
}

bool Handler::Impl::wait_for_end(Pipeline& pipeline, Clock::TimePoint deadline) {
  const bool ended = pipeline.mailbox.serve_until(
      deadline + kGrace, [&] { pipeline.delivery.close(deadline); },
      [&] { return pipeline.ended.load(std::memory_order_acquire); });
  if (left_behind(pipeline)) return false;
  const MutexLock lock(worker_mutex_);
  if (ended) {
    worker_.join();
  } else {
    abandoned_.store(true, std::memory_order_relaxed);
    worker_.abandon();
  }
  return ended;
}

// ---- the rest

bool Handler::Impl::check_connection() {
  const Options& options = settings_->options;
  Request request{.method = Request::Method::get,
                  .url = settings_->endpoint.health_url,
                  .headers = options.headers,
                  .body = nullptr,
                  .timeout = options.timeout};
  if (options.auth) {
    Pipeline* const pipeline = current();
    if (pipeline == nullptr) return false;
    Result<Headers> more = Status::unavailable("not asked");
    pipeline->mailbox.run_here([&] { more = ask_application(options.auth); });
    if (!more.ok()) return false;
    request.headers.insert(request.headers.end(), more->begin(), more->end());
  }
  const std::unique_ptr<Transport> transport = make_curl_transport(options, settings_->trust);
  transport->submit(std::move(request));
  std::optional<Response> response;
  while (!response) response = transport->poll(deadline_after(options.timeout));
  return response->status >= 200 && response->status <= 299;
}

void Handler::Impl::detach_callbacks(std::optional<milliseconds> timeout) {
  Pipeline* current = nullptr;
  {
    const MutexLock lock(worker_mutex_);
    detached_ = true;
    current = owner_.get();
  }
  if (current == nullptr) return;
  current->mailbox.detach(deadline_after(timeout.value_or(settings_->options.close_timeout)));
}

Stats Handler::Impl::stats() const {
  Stats stats;
  if (const Pipeline* const pipeline = pipeline_.load(std::memory_order_acquire)) {
    pipeline->delivery.fill(stats);
    pipeline->journal.fill(stats);
  }
  unkept_.add_to(stats);
  return stats;
}

Result<std::unique_ptr<Handler>> Handler::create(Options options) try {
  Result<Endpoint> endpoint = prepare_options(options);
  if (!endpoint.ok()) return endpoint.status();
  auto impl = std::make_unique<Impl>(std::move(options), std::move(endpoint.value()));
  if (Status status = impl->open(); !status.ok()) return status;
  return std::unique_ptr<Handler>(new Handler(std::move(impl)));
} catch (const std::exception&) {
  return no_memory();
}

Handler::Handler(std::unique_ptr<Backend> backend) : backend_(std::move(backend)) {}

Handler::~Handler() {
  const NotCancelled guard;
  backend_.reset();
}

bool Handler::log(const Record& record) noexcept { return backend_->log(record); }

bool Handler::log_json(int severity, std::string_view record) noexcept {
  return *backend_->log_json(severity, record, true);
}

std::optional<bool> Handler::try_log_json(int severity, std::string_view record) noexcept {
  return backend_->log_json(severity, record, false);
}

bool Handler::flush(std::optional<milliseconds> timeout) noexcept {
  const NotCancelled guard;
  return backend_->flush(timeout);
}

bool Handler::close(std::optional<milliseconds> timeout) noexcept {
  const NotCancelled guard;
  return backend_->close(timeout);
}

bool Handler::check_connection() noexcept {
  const NotCancelled guard;
  try {
    return backend_->check_connection();
  } catch (const std::exception&) {  // no memory for the request
    return false;
  }
}

void Handler::detach_callbacks(std::optional<milliseconds> timeout) noexcept {
  const NotCancelled guard;
  backend_->detach_callbacks(timeout);
}

Stats Handler::stats() const { return backend_->stats(); }

const Options& Handler::options() const { return backend_->options(); }

const std::string& Handler::record_prefix() const { return backend_->record_prefix(); }

}  // namespace log_aggregator
