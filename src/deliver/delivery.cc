#include "src/deliver/delivery.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "src/base/entropy.h"
#include "src/deliver/redact.h"
#include "src/deliver/retry.h"

namespace log_aggregator {
namespace {

constexpr Clock::TimePoint kNever = Clock::TimePoint::max();

// Records in the batch in hand while nobody knows yet how many the API takes.
constexpr std::size_t kRecordsBeforeAnswer = 1'000;

// Log-Aggregator-Sequence stays below 4 KiB: a range is two numbers of up to 20 digits, a dash and
// a comma.
constexpr std::size_t kMaxRanges = 4096 / 42;

// In a report of missing records; there may be thousands.
constexpr std::size_t kRangesShown = 10;

// Between two looks for journals that have lost their process, and the pause after one that could
// not be read.
constexpr std::chrono::seconds kSearchInterval{10};
constexpr std::chrono::milliseconds kReadPause{100};

// How long an API whose health answer was an error of its own is taken for one that says nothing.
constexpr std::chrono::seconds kDoubtfulPlanLife{30};

struct DoorCause {
  DropCause cause;
  std::string_view why;
};
constexpr DoorCause kDoorCauses[] = {
    {DropCause::queue_full, "the queue is full (queue_bytes or spool_max_bytes, drop_newest)"},
    {DropCause::evicted, "older records made room for newer ones (overflow drop_oldest)"},
    {DropCause::block_timeout, "the queue stayed full for block_timeout (overflow block)"},
    {DropCause::too_large, "longer than half the queue (queue_bytes)"},
    {DropCause::closed, "logged after close()"},
    {DropCause::reentrant, "logged from inside the handler's own auth or report callback"},
    {DropCause::out_of_memory, "no memory to queue them"},
    {DropCause::damaged, "the spool's files were damaged"},
};

// Requests that may be under way at once where the round trip is at least that long. They begin at
// equal distances in it: the server shall have one before it gets the next, so that it stores them
// in order. With a shorter one little would be won, and they might overtake each other in the
// server.
constexpr int kRequestsAtOnce = 4;
constexpr std::chrono::milliseconds kLongRoundTrip{20};

// Batches that wait, the one that is made next among them, where compression does not keep up.
constexpr std::uint64_t kBatchesBehind = 3;

// The brackets of an array are one byte more than its commas.
constexpr std::size_t kFrameBytes = 1;

std::size_t payload_bytes(std::span<const RecordView> records) {
  std::size_t bytes = 0;
  for (const RecordView& record : records) bytes += record.payload.size();
  return bytes;
}

bool is_success(int status) { return status >= 200 && status <= 299; }

void add(DropCounts& counts, const DropCounts& more) {
  for (std::size_t i = 0; i < kDropCauses; ++i) {
    for (std::size_t j = 0; j < kDropLevels; ++j) counts[i][j] += more[i][j];
  }
}

std::string describe_missing(const Orphan& orphan) {
  const std::vector<SequenceRange> shown = orphan.missing().first(kRangesShown);
  const std::size_t unshown = orphan.missing().ranges().size() - shown.size();
  return std::to_string(orphan.missing().count_through(UINT64_MAX)) +
         " records of an earlier process are lost: the files of journal " + orphan.id() +
         " in the spool are damaged or incomplete, numbers " + range_text(shown) +
         (unshown > 0 ? " and " + std::to_string(unshown) + " more ranges" : "");
}

// How many of the records, at least one, a request of that plan holds. `payload` is what all of
// them have together.
std::size_t fitting_records(std::span<const RecordView> records, std::size_t payload,
                            const Plan& plan) {
  const std::size_t most = std::min(records.size(), plan.max_records);
  if (kFrameBytes + payload + records.size() <= plan.max_bytes) return most;
  std::size_t bytes = kFrameBytes;
  std::size_t count = 0;
  while (count < most && bytes + records[count].payload.size() + 1 <= plan.max_bytes) {
    bytes += records[count++].payload.size() + 1;
  }
  return std::max<std::size_t>(count, 1);
}

}  // namespace

Delivery::Delivery(const Options& options, const Endpoint& endpoint, Journal& journal,
                   Transport& transport, Mailbox& mailbox, const Clock& clock,
                   std::unique_ptr<Orphanage> orphanage, std::unique_ptr<Compressor> compressor)
    : options_(options),
      endpoint_(endpoint),
      journal_(journal),
      transport_(transport),
      mailbox_(mailbox),
      clock_(clock),
      credentials_(options, mailbox, clock),
      reporter_(options, mailbox, clock),
      compressor_(std::move(compressor)),
      effort_(options.compression),
      notice_(options, clock),
      orphanage_(std::move(orphanage)),
      random_(static_cast<std::minstd_rand::result_type>(entropy())),
      close_deadline_(kNever.time_since_epoch().count()) {}

// ---- any thread

void Delivery::flush_through(std::uint64_t sequence) noexcept {
  std::uint64_t seen = flush_through_.load(std::memory_order_relaxed);
  while (seen < sequence &&
         !flush_through_.compare_exchange_weak(seen, sequence, std::memory_order_relaxed)) {
  }
  transport_.wake();
}

void Delivery::close(Clock::TimePoint deadline) noexcept {
  const auto count = deadline.time_since_epoch().count();
  auto seen = close_deadline_.load(std::memory_order_relaxed);
  while (count < seen &&
         !close_deadline_.compare_exchange_weak(seen, count, std::memory_order_relaxed)) {
  }
  transport_.wake();
}

void Delivery::fill(Stats& stats) const {
  stats.retries = retries_.load(std::memory_order_relaxed);
  stats.batches = batches_.load(std::memory_order_relaxed);
  stats.bytes_sent = bytes_sent_.load(std::memory_order_relaxed);
  stats.adopted_delivered = adopted_delivered_.load(std::memory_order_relaxed);
  stats.adopted_dropped = adopted_dropped_.load(std::memory_order_relaxed);
  const MutexLock lock(stats_mutex_);
  stats.last_error = last_error_;
}

Clock::TimePoint Delivery::close_deadline() const {
  return Clock::TimePoint(
      Clock::TimePoint::duration(close_deadline_.load(std::memory_order_relaxed)));
}

bool Delivery::closing() const { return close_deadline() != kNever; }

void Delivery::set_last_error(const std::string& error) {
  const MutexLock lock(stats_mutex_);
  last_error_ = error;
}

// ---- one round

bool Delivery::step() {
  maintenance_due_ = journal_.maintain(clock_.now());
  tell_of_drops();
  if (closing() && clock_.now() >= close_deadline()) return finish_closing();
  if (waits_for_answer()) {
    const Clock::TimePoint look_again = send_beside();
    wait_for_answer(std::min(look_again, close_deadline()));
    return true;
  }
  return pieces_.empty() ? take_or_wait() : try_front();
}

bool Delivery::take_or_wait() {
  // In this order: what was logged before the close is seen in the journal.
  const bool ending = closing();
  const Journal::Amount unread = journal_.unread();
  if (Source* const source = next_source(batch_is_due(unread))) {
    effort_.consider(is_behind(unread), clock_.now());
    if (!take_batch(*source)) poll(clock_.now() + kReadPause);
  } else if (unread.records == 0 && ending) {
    return finish_closing();
  } else {
    wait_for_records(unread);
  }
  return true;
}

// The journal and an orphan take turns, so that neither has to wait for the end of the other.
Source* Delivery::next_source(bool own_is_due) {
  if (own_is_due && !std::exchange(orphans_turn_, true)) return &journal_;
  orphans_turn_ = false;
  if (Orphan* const orphan = open_orphan()) return orphan;
  return own_is_due ? &journal_ : nullptr;
}

// One that has records to read; null where there is none.
Orphan* Delivery::open_orphan() {
  if (!orphanage_ || clock_.now() < next_search_) return nullptr;
  while (true) {
    if (!orphan_) orphan_ = orphanage_->next();
    found_no_orphan_ = !orphan_;
    if (!orphan_) {
      next_search_ = clock_.now() + kSearchInterval;
      return nullptr;
    }
    if (orphan_->peek()) return orphan_.get();
    if (!orphan_->stuck()) {
      finish_orphan();
    } else if (drains_only_) {
      next_search_ = clock_.now() + kReadPause;
      return nullptr;
    } else {
      orphan_.reset();  // until the next search: the others shall not wait for it
    }
  }
}

void Delivery::finish_orphan() {
  count_missing(UINT64_MAX);
  if (!orphan_->missing().empty()) {
    reporter_.note(Reporter::Note::damaged_orphan, describe_missing(*orphan_));
  }
  orphan_->discard();
  orphan_.reset();
}

// Before they are settled: of what lies behind the cursor, the next one to adopt the journal does
// not know.
void Delivery::count_missing(std::uint64_t through) {
  adopted_dropped_.fetch_add(orphan_->count_missing(through), std::memory_order_relaxed);
}

// Its records stay in the spool.
void Delivery::give_orphans_back() {
  pieces_.clear();
  orphan_.reset();
  orphanage_.reset();
}

std::optional<Response> Delivery::poll(Clock::TimePoint until) {
  const Clock::TimePoint begun = clock_.now();
  auto response = transport_.poll(std::min(until, maintenance_due_));
  effort_.waited(clock_.now() - begun);
  return response;
}

bool Delivery::try_front() {
  Piece& front = pieces_.front();
  if (closing() && !std::exchange(hurried_, true)) front.not_before = clock_.now();
  if (clock_.now() >= front.not_before) {
    send_front();
  } else if (front.not_before >= close_deadline()) {
    return finish_closing();  // there will be no other try
  } else {
    wait_for_answer(front.not_before);
  }
  return true;
}

void Delivery::wait_for_answer(Clock::TimePoint until) {
  std::optional<Response> response = poll(until);
  if (!response) return;
  answers_ = is_success(response->status);
  if (response->request == health_request_) {
    health_request_ = 0;
    conclude_health(*response);
    settle_finished();
  } else {
    note_answer(std::move(*response));
  }
  conclude_answers();
}

// What it says of waiting counts from now, also where it takes effect later.
void Delivery::note_answer(Response response) {
  for (Piece& piece : pieces_) {
    if (piece.request != response.request) continue;
    piece.request = 0;
    piece.answered_at = clock_.now();
    piece.asked_to_wait = parse_retry_after(response.retry_after, clock_.wall_now());
    piece.answer = std::move(response);
    return;
  }
}

void Delivery::conclude_answers() {
  while (!pieces_.empty() && pieces_.front().answer) {
    const Response response = *std::exchange(pieces_.front().answer, std::nullopt);
    conclude_records(response);
    settle_finished();
  }
}

// ---- batches

std::size_t Delivery::batch_record_limit() const {
  if (plan_) return plan_->max_records;
  return options_.batch_size > 0 ? options_.batch_size : kRecordsBeforeAnswer;
}

std::size_t Delivery::batch_byte_limit() const {
  return plan_ ? plan_->max_bytes : options_.batch_bytes;
}

bool Delivery::is_behind(const Journal::Amount& unread) const {
  return unread.records >= kBatchesBehind * std::uint64_t{batch_record_limit()} ||
         unread.bytes >= kBatchesBehind * std::uint64_t{batch_byte_limit()};
}

bool Delivery::batch_is_due(const Journal::Amount& unread) {
  if (unread.records == 0) {
    waiting_since_.reset();
    return false;
  }
  if (!waiting_since_) waiting_since_ = clock_.now();
  return closing() || flush_through_.load(std::memory_order_relaxed) > read_through_ ||
         unread.records >= batch_record_limit() || unread.bytes >= batch_byte_limit() ||
         clock_.now() >= *waiting_since_ + options_.flush_interval;
}

// When a batch is due by time where no log call ends the wait for it: kNever where nothing waits,
// nothing where one is due already.
std::optional<Clock::TimePoint> Delivery::await_records(const Journal::Amount& unread) {
  const bool idle = unread.records == 0;
  const bool there =
      idle ? journal_.wake_at(1, 1) : journal_.wake_at(batch_record_limit(), batch_byte_limit());
  if (there) return std::nullopt;
  return idle ? kNever : *waiting_since_ + options_.flush_interval;
}

void Delivery::wait_for_records(const Journal::Amount& unread) {
  if (drains_only_ && found_no_orphan_) return;
  auto until = await_records(unread);
  if (!until) return;
  if (orphanage_) until = std::min(*until, next_search_);
  poll(std::min({*until, close_deadline(), notice_.due()}));
}

// False where nothing can be read just now. A record is stepped over only once a piece holds it, so
// that running out of memory loses none.
bool Delivery::take_batch(Source& source) {
  const bool own = &source == &journal_;
  if (own) waiting_since_.reset();
  std::optional<RecordView> record = source.peek();
  if (!record) return false;
  const std::size_t most_records = batch_record_limit();
  const std::size_t most_bytes = batch_byte_limit();
  unused_records_.assign(1, *record);
  Piece& piece = pieces_.emplace_back();
  piece.source = &source;
  piece.records.swap(unused_records_);
  std::size_t ranges = 1;
  while (true) {
    const std::uint64_t last = record->sequence;
    if (own) read_through_ = last;
    piece.bytes += record->payload.size();
    source.advance();
    record = source.peek();
    if (!record || piece.records.size() >= most_records) return true;
    const std::size_t payload = piece.bytes + record->payload.size();
    if (kFrameBytes + payload + piece.records.size() + 1 > most_bytes) return true;
    if (record->sequence != last + 1 && ++ranges > kMaxRanges) return true;
    piece.records.push_back(*record);
  }
}

// The first `count` records become a piece of their own, before the rest. What may run out of
// memory comes before what changes the rest.
void Delivery::split_front(std::size_t count) {
  Piece first;
  const Piece& all = pieces_.front();
  const auto middle = static_cast<std::ptrdiff_t>(count);
  first.source = all.source;
  first.records.assign(all.records.begin(), all.records.begin() + middle);
  first.bytes = payload_bytes(first.records);
  first.failures = all.failures;
  first.not_before = all.not_before;
  first.renegotiated = all.renegotiated;
  first.reauthorized = all.reauthorized;
  pieces_.push_front(std::move(first));
  Piece& rest = pieces_[1];
  rest.records.erase(rest.records.begin(), rest.records.begin() + middle);
  rest.bytes -= pieces_.front().bytes;
  rest.body.reset();
}

void Delivery::settle_finished() {
  while (!pieces_.empty() && pieces_.front().finished) {
    settle(pieces_.front());
    unused_records_ = std::move(pieces_.front().records);
    unused_records_.clear();
    pieces_.pop_front();
    mailbox_.notify();
  }
}

void Delivery::settle(const Piece& piece) {
  const Settlement settlement{.through = piece.records.back().sequence,
                              .records = piece.records.size(),
                              .bytes = piece.bytes,
                              .dropped = piece.dropped,
                              .given_up = piece.given_up.ranges()};
  if (piece.source == &journal_) {
    journal_.settle(settlement);
    add(known_drops_, piece.dropped);
    return;
  }
  count_missing(settlement.through);
  orphan_->settle(settlement);
  const std::uint64_t dropped = total(piece.dropped);
  adopted_delivered_.fetch_add(piece.records.size() - dropped, std::memory_order_relaxed);
  adopted_dropped_.fetch_add(dropped, std::memory_order_relaxed);
}

// ---- requests

void Delivery::send_front() {
  Result<Headers> headers = credentials_.get();
  if (!headers.ok()) {
    fail_unsent("no credentials: " + safe_excerpt(headers.status().message()));
    settle_finished();
    conclude_answers();
  } else if (!plan_ || clock_.now() >= plan_expires_) {
    ask_health(std::move(headers.value()));
  } else {
    const Piece& front = pieces_.front();
    const std::size_t count = fitting_records(front.records, front.bytes, *plan_);
    if (count < front.records.size()) split_front(count);
    send_records(pieces_.front(), std::move(headers.value()));
  }
}

// ---- requests beside the one in front

int Delivery::records_under_way() const {
  return static_cast<int>(std::count_if(pieces_.begin(), pieces_.end(),
                                        [](const Piece& piece) { return piece.request != 0; }));
}

// Where several share a slow line, each takes longer by as many times: half of the timeout must do.
// What is in hand cannot make room for newer records: half of the queue must be left to those.
bool Delivery::may_send_beside() const {
  if (round_trip_ < kLongRoundTrip || !steady_ || !plan_ || plan_->max_records == 1 ||
      clock_.now() >= plan_expires_)
    return false;
  if (health_request_ != 0 || pieces_.size() >= kRequestsAtOnce) return false;
  const auto goes_well = [](const Piece& piece) {
    return piece.request != 0 || (piece.answer && is_success(piece.answer->status));
  };
  if (!std::all_of(pieces_.begin(), pieces_.end(), goes_well)) return false;
  if (orphan_ || (orphanage_ && clock_.now() >= next_search_)) return false;
  const bool spools = journal_.outlives_process();
  const std::size_t queue = spools ? options_.spool_max_bytes : options_.queue_bytes;
  if ((pieces_.size() + 1) * batch_byte_limit() > queue / 2) return false;
  return answer_time_ * (records_under_way() + 1) <= options_.timeout / 2;
}

// Sends the next batch beside what is under way, where it is time for that. Returns when to look
// again.
Clock::TimePoint Delivery::send_beside() {
  while (may_send_beside()) {
    const Piece& newest = pieces_.back();
    if (newest.request != 0 && !newest.body->ended()) return kNever;  // it wakes us by itself
    const Clock::TimePoint next = newest.sent_at + round_trip_ / kRequestsAtOnce;
    if (clock_.now() < next) return next;
    const Journal::Amount unread = journal_.unread();
    if (!batch_is_due(unread)) return await_records(unread).value_or(clock_.now());
    effort_.consider(is_behind(unread), clock_.now());
    if (!take_batch(journal_)) return clock_.now() + kReadPause;
    Result<Headers> headers = credentials_.get();
    if (!headers.ok()) break;  // it is seen to when this batch is in front
    send_records(pieces_.back(), std::move(headers.value()));
  }
  return kNever;
}

void Delivery::ask_health(Headers headers) {
  health_request_ = transport_.submit({.method = Request::Method::get,
                                       .url = endpoint_.health_url,
                                       .headers = std::move(headers),
                                       .body = nullptr,
                                       .timeout = options_.timeout});
}

void Delivery::send_records(Piece& piece, Headers headers) {
  make_body(piece);
  Request request{.method = Request::Method::post,
                  .url = endpoint_.url,
                  .headers = std::move(headers),
                  .body = piece.body.get(),
                  .timeout = options_.timeout};
  request.headers.push_back({"Content-Type", std::string(content_type(piece.shape))});
  request.headers.push_back({"Log-Aggregator-Journal", piece.source->id()});
  request.headers.push_back({"Log-Aggregator-Sequence", sequence_ranges(piece.records)});
  piece.declared = piece.source->given_up(kMaxRanges);
  if (!piece.declared.empty()) {
    request.headers.push_back({"Log-Aggregator-Skipped", range_text(piece.declared)});
  }
  if (piece.encoding != Encoding::none) {
    request.headers.push_back({"Content-Encoding", std::string(encoding_name(piece.encoding))});
  }
  bytes_sent_.fetch_add(piece.body->size(), std::memory_order_relaxed);
  if (piece.failures > 0) retries_.fetch_add(1, std::memory_order_relaxed);
  piece.beside = records_under_way();
  piece.sent_at = clock_.now();
  piece.request = transport_.submit(std::move(request));
}

// The one that was made before serves as long as the API takes the same. To be compressed the
// records are joined first: zstd would copy them into a window of its own.
void Delivery::make_body(Piece& piece) {
  if (piece.body && piece.shape == plan_->shape && piece.taken == plan_->encoding) {
    piece.body->rewind();
    return;
  }
  piece.body.reset();
  piece.shape = plan_->shape;
  piece.taken = plan_->encoding;
  piece.encoding = Encoding::none;
  auto plain = std::make_unique<RecordsBody>(piece.shape, piece.records);
  const std::size_t bytes = plain->size();
  if (piece.taken != Encoding::none && effort_.strength() != Strength::none) {
    const Clock::TimePoint begun = clock_.now();
    joined_.resize(bytes);
    plain->read(joined_.data(), bytes);
    std::string encoded;
    if (compressor_->compress(piece.taken, effort_.strength(), joined_, encoded)) {
      piece.encoding = piece.taken;
      piece.body = std::make_unique<TextBody>(std::move(encoded));
      effort_.spent(bytes, clock_.now() - begun);
      return;
    }
    plain->rewind();
  }
  effort_.spent(bytes, {});
  piece.body = std::move(plain);
}

// ---- answers

void Delivery::conclude_health(const Response& response) {
  if (response.status == 0) {
    fail_unsent(describe(response));
    return;
  }
  const Fate fate = judge(response.status, "", 0).fate;
  const bool healthy = fate == Fate::stored;
  plan_ = make_plan(options_, healthy ? parse_capabilities(response.body) : Capabilities{});
  plan_expires_ = fate == Fate::retry ? clock_.now() + kDoubtfulPlanLife : kNever;
  posts_since_health_ = 0;
  most_beside_ = 0;
}

void Delivery::conclude_records(const Response& response) {
  Piece& front = pieces_.front();
  note_connection(response);
  steady_ = is_success(response.status);
  answer_time_ = front.answered_at - front.sent_at;
  round_trip_ = response.round_trip;
  if (response.status == 0) {
    fail_attempt(describe(response));
    return;
  }
  const Verdict verdict = judge(response.status, response.body, front.records.size());
  switch (verdict.fate) {
    case Fate::stored:
      accept();
      return;
    case Fate::partly:
      drop_refused(verdict, response);
      return;
    case Fate::retry:
      fail_attempt(describe(response));
      return;
    case Fate::too_large:
      reopen_question();
      halve_or_drop(DropCause::too_large, response);
      return;
    case Fate::unsupported:
      reopen_question();
      if (std::exchange(front.renegotiated, true)) drop_or_hold_refused(response);
      return;
    case Fate::unauthorized:
      reopen_question();
      if (!credentials_.refresh() || std::exchange(front.reauthorized, true)) {
        drop_or_hold_all(response);
      }
      return;
    case Fate::poisoned:
      halve_or_drop(DropCause::refused, response);
      return;
    case Fate::refused:
      drop_or_hold_refused(response);
      return;
  }
}

// Behind a new connection may be another server. A server that closes each connection, which the
// first request after the health answer shows, tells nothing by that; neither does a connection
// that a request needed because others were under way on all that there were.
void Delivery::note_connection(const Response& response) {
  const bool first = posts_since_health_++ == 0;
  const int beside = pieces_.front().beside;
  const bool one_more = beside > std::exchange(most_beside_, std::max(most_beside_, beside));
  if (first && response.status != 0) {
    connection_persists_ = !response.new_connection;
  } else if (response.status == 0 ||
             (response.new_connection && connection_persists_ && !one_more)) {
    reopen_question();
  }
}

// ---- what becomes of the piece in front

void Delivery::accept() {
  Piece& front = pieces_.front();
  front.finished = true;
  if (!front.declared.empty()) front.source->given_up_acknowledged(front.declared);
  batches_.fetch_add(1, std::memory_order_relaxed);
}

// Of the piece in front, which could not even be sent.
void Delivery::fail_unsent(const std::string& why) {
  pieces_.front().answered_at = clock_.now();
  pieces_.front().asked_to_wait.reset();
  fail_attempt(why);
}

// The wait for the next attempt counts from the answer to this one, which may have come while
// another piece was in front.
void Delivery::fail_attempt(const std::string& why) {
  Piece& front = pieces_.front();
  set_last_error(why);
  if (closing() && front.source != &journal_) {
    give_orphans_back();
    return;
  }
  if (++front.failures > options_.retry_attempts) {
    if (!front.source->outlives_process()) {
      drop_front(DropCause::retries_exhausted, why);
      return;
    }
    kept_through_.store(journal_.mark().through, std::memory_order_relaxed);
    mailbox_.notify();
    reporter_.note(Reporter::Note::kept,
                   "records are kept in the spool until they can be "
                   "delivered: " +
                       why);
  }
  const double chance = static_cast<double>(random_()) / static_cast<double>(random_.max());
  const Clock::TimePoint::duration wait = retry_wait(front.failures, options_.retry_delay, chance);
  front.not_before = front.answered_at + std::max(wait, front.asked_to_wait.value_or(wait));
}

void Delivery::drop_refused(const Verdict& verdict, const Response& response) {
  Piece& front = pieces_.front();
  for (const RefusedRecord& refused : verdict.refused) {
    mark_dropped(front, front.records[refused.index], DropCause::refused);
  }
  const std::string why = describe(response);
  set_last_error(why);
  reporter_.dropped(DropCause::refused, verdict.refused.size(), why);
  accept();
}

void Delivery::drop_front(DropCause cause, const Response& response) {
  drop_front(cause, describe(response));
}

void Delivery::drop_front(DropCause cause, const std::string& why) {
  drop(pieces_.front(), cause);
  set_last_error(why);
  reporter_.dropped(cause, pieces_.front().records.size(), why);
}

// What is true of the piece in front is true of all that are in hand, but for those that have got
// an answer of their own, or will.
void Delivery::drop_or_hold_all(const Response& response) {
  const std::string why = describe(response);
  if (pieces_.front().source->outlives_process()) {
    pieces_.front().reauthorized = false;
    fail_attempt(why);
    return;
  }
  std::uint64_t records = 0;
  for (Piece& piece : pieces_) {
    if (piece.request != 0 || piece.answer) continue;
    drop(piece, DropCause::unauthorized);
    records += piece.records.size();
  }
  set_last_error(why);
  reporter_.dropped(DropCause::unauthorized, records, why);
}

void Delivery::drop_or_hold_refused(const Response& response) {
  if (holds_refused_) {
    fail_attempt(describe(response));
  } else {
    drop_front(DropCause::refused, response);
  }
}

void Delivery::halve_or_drop(DropCause cause, const Response& response) {
  const std::size_t records = pieces_.front().records.size();
  if (records > 1) {
    split_front(records / 2);
  } else {
    drop_front(cause, response);
  }
}

void Delivery::drop(Piece& piece, DropCause cause) {
  for (const RecordView& record : piece.records) mark_dropped(piece, record, cause);
  piece.finished = true;
}

void Delivery::mark_dropped(Piece& piece, const RecordView& record, DropCause cause) {
  ++piece.dropped[static_cast<std::size_t>(cause)][drop_level(record.severity)];
  piece.given_up.add({record.sequence, record.sequence});
  if (piece.source == &journal_ && record.sequence == notice_.last_sequence()) {
    notice_.forget(cause, record.severity);
  }
}

std::string Delivery::describe(const Response& response) const {
  if (response.status == 0) return endpoint_.shown + ": " + safe_excerpt(response.error);
  std::string text = endpoint_.shown + " answered " + std::to_string(response.status);
  if (!response.body.empty()) {
    text += ": " + safe_excerpt(response.body, credentials_.known(), pieces_.front().records);
  }
  return text;
}

// ---- telling

void Delivery::tell_of_drops() {
  if (const std::uint64_t news = journal_.news(); news != known_news_) {
    known_news_ = news;
    tell_news();
  }
  send_notice(journal_drops_);
}

void Delivery::tell_news() {
  Stats stats;
  journal_.fill(stats);
  journal_drops_ = stats.dropped;
  report_drops_at_the_door(stats.dropped);
  if (const std::string trouble = journal_.take_trouble(); !trouble.empty()) {
    reporter_.note(Reporter::Note::disk,
                   "trouble with the spool, what it does not take is kept in memory: " + trouble);
  }
}

void Delivery::report_drops_at_the_door(const DropCounts& dropped) {
  for (const auto& [cause, why] : kDoorCauses) {
    const auto i = static_cast<std::size_t>(cause);
    const std::uint64_t fresh = total(dropped[i]) - total(known_drops_[i]);
    if (fresh == 0) continue;
    known_drops_[i] = dropped[i];
    reporter_.dropped(cause, fresh, why);
  }
}

// The last one as soon as the handler closes, but only to an API that answers: nobody waits for it.
void Delivery::send_notice(const DropCounts& dropped) {
  const std::uint64_t adopted = adopted_dropped_.load(std::memory_order_relaxed);
  const bool last = closing() && answers_ && !last_notice_sent_;
  if (!notice_.is_due(dropped, adopted, last)) return;
  last_notice_sent_ = last;
  const std::string text = notice_.write(dropped, adopted);
  notice_.sent(journal_.offer(DropNotice::kSeverity, text), dropped, adopted);
}

// ---- the end

// What was accepted while the piece in front was not is delivered all the same. The books are
// closed in order, so what lies before it is dropped here, and not by the journal; its number is
// returned. Records that outlive the process stay where they are: they are sent once more.
std::uint64_t Delivery::settle_accepted() {
  if (journal_.outlives_process()) return 0;
  for (Piece& piece : pieces_) {
    if (!piece.answer || !is_success(piece.answer->status)) continue;
    piece.finished = true;
    batches_.fetch_add(1, std::memory_order_relaxed);
  }
  const auto last = std::find_if(pieces_.rbegin(), pieces_.rend(),
                                 [](const Piece& piece) { return piece.finished; });
  std::uint64_t dropped = 0;
  for (auto piece = pieces_.begin(); piece != last.base(); ++piece) {
    if (piece->finished) continue;
    drop(*piece, DropCause::closed);
    dropped += piece->records.size();
  }
  settle_finished();
  return dropped;
}

bool Delivery::give_up() noexcept {
  if (clock_.now() < close_deadline()) return false;
  Stats stats;
  journal_.fill(stats);
  left_over_ = std::max<std::uint64_t>(left_over_, stats.pending);
  return true;
}

bool Delivery::finish_closing() {
  transport_.cancel();
  health_request_ = 0;
  const std::uint64_t dropped_here = settle_accepted();
  pieces_.clear();
  orphan_.reset();
  Journal::Leftover left = journal_.finish();
  known_drops_[static_cast<std::size_t>(DropCause::closed)][0] += left.dropped;
  left.dropped += dropped_here;
  left_over_ += left.dropped + left.spooled;  // the first time, or nothing
  std::string last_error;
  {
    const MutexLock lock(stats_mutex_);
    if (!last_error_.empty()) last_error = "; last error: " + last_error_;
  }
  if (left.dropped > 0) {
    reporter_.dropped(DropCause::closed, left.dropped,
                      "not delivered before close_timeout ended" + last_error);
  }
  if (left.spooled > 0) {
    reporter_.note(Reporter::Note::left, std::to_string(left.spooled) +
                                             " records stay in the spool for the next start" +
                                             last_error);
  }
  Stats stats;
  journal_.fill(stats);
  report_drops_at_the_door(stats.dropped);
  reporter_.finish();
  return false;
}

}  // namespace log_aggregator
