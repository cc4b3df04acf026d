// Delivery takes records from the journal to the API: it forms batches, sends them, understands the
// answers, retries, splits, and settles with the journal what became of each record.
//
//   journal -> take_batch -> pieces_ -> send -> conclude -> settle -> journal
//
// With a spool it delivers what dead processes have left there, too: batches of the journal and of
// an orphan take turns.
//
// The records in hand are a list of pieces in the order of their sequence numbers: a batch starts
// as one piece and is split where an answer asks for it. A piece's body is made, and compressed,
// once, however often it is sent. step() is called by one thread, the worker, and waits in the
// transport only; the methods that say so may be called by any thread and end that wait.
//
// One request is under way at a time, for the piece in front. Where the round trip is long, the
// next batches are sent beside it, while all goes well: an API that takes batches has accepted the
// last request, nothing in hand has failed or waits to be sent, and orphans wait for nothing.
// Answers take effect in the order of the pieces: one that comes early waits until its piece is in
// front. So whatever is said below of the piece in front holds with several under way, too.
//
// What the API takes is asked before the first batch, and again after a reconnect, a 413, a 415 or
// other credentials. An API that cannot be reached has not answered: it costs the batch in hand an
// attempt, and the question stays open.

#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "log_aggregator/options.h"
#include "log_aggregator/stats.h"
#include "src/base/clock.h"
#include "src/base/mutex.h"
#include "src/base/url.h"
#include "src/deliver/compressor.h"
#include "src/deliver/credentials.h"
#include "src/deliver/drop_notice.h"
#include "src/deliver/effort.h"
#include "src/deliver/mailbox.h"
#include "src/deliver/reporter.h"
#include "src/deliver/transport.h"
#include "src/format/api_format.h"
#include "src/format/body.h"
#include "src/format/capabilities.h"
#include "src/format/verdict.h"
#include "src/journal/journal.h"
#include "src/journal/orphan.h"
#include "src/journal/source.h"

namespace log_aggregator {

class Delivery {
 public:
  // Refers to all of them, which must outlive it. Without an orphanage it delivers no orphans.
  Delivery(const Options& options, const Endpoint& endpoint, Journal& journal, Transport& transport,
           Mailbox& mailbox, const Clock& clock, std::unique_ptr<Orphanage> orphanage = nullptr,
           std::unique_ptr<Compressor> compressor = std::make_unique<Compressor>());

  // ---- the worker

  // One round: take up a batch, send, wait, conclude. False when delivery has ended.
  bool step();

  // Where step() has thrown: whether there is no time left to try again. Then delivery has ended,
  // and what is left stays pending.
  bool give_up() noexcept;

  // Before the first step: an answer such as 404, which is about the address and not about the
  // records, is a failed attempt, for which nothing is dropped.
  void hold_refused() { holds_refused_ = true; }

  // ---- the worker, where it only drains a spool

  // Before the first step: step() does not wait for more orphans to come.
  void drain_only() { drains_only_ = true; }
  bool orphans_done() const { return found_no_orphan_; }
  bool orphan_is_stuck() const { return orphan_ && orphan_->stuck(); }
  bool waits_for_answer() const {
    return health_request_ != 0 || (!pieces_.empty() && pieces_.front().request != 0);
  }
  // How often the batch in hand has failed since it was taken up.
  int failures() const { return pieces_.empty() ? 0 : pieces_.front().failures; }

  // ---- any thread

  // Ends the wait for a batch to fill for records up to this sequence number.
  void flush_through(std::uint64_t sequence) noexcept;
  // Delivers what is left, without waiting for batches to fill; at the deadline drops the rest.
  // The journal must be closed already.
  void close(Clock::TimePoint deadline) noexcept;
  // A record is there that journal.wake_at waited for.
  void wake() noexcept { transport_.wake(); }
  // Records up to this sequence number stay in the spool although retries have run out, unless they
  // were delivered since. Told by Mailbox::notify.
  std::uint64_t kept_through() const { return kept_through_.load(std::memory_order_relaxed); }
  // Records that closing left undelivered. For when step() has returned false.
  std::uint64_t left_over() const { return left_over_.load(std::memory_order_relaxed); }
  // Fills in what delivery knows: retries, batches, bytes_sent, last_error, adopted_*.
  void fill(Stats& stats) const EXCLUDES(stats_mutex_);

 private:
  // Records that go into one request, and what has happened to them so far.
  struct Piece {
    Source* source = nullptr;
    std::vector<RecordView> records;
    std::size_t bytes = 0;          // of their payload
    int failures = 0;               // attempts that failed
    Clock::TimePoint not_before{};  // when to try again
    bool renegotiated = false;      // a 415 has made us ask what the API takes
    bool reauthorized = false;      // a 401 or 403 has made us ask for credentials
    bool finished = false;
    DropCounts dropped{};
    SequenceRanges given_up{};  // their numbers

    // What is sent, once it was made for the first time.
    std::unique_ptr<Body> body;
    Shape shape = Shape::object;
    Encoding taken = Encoding::none;     // by the API, when it was made
    Encoding encoding = Encoding::none;  // in which it was made

    // The newest request.
    std::uint64_t request = 0;  // while it is under way, else 0
    int beside = 0;             // how many others were under way when it was sent
    Clock::TimePoint sent_at{};
    std::vector<SequenceRange> declared;  // as given up
    std::optional<Response> answer;       // until it takes effect
    Clock::TimePoint answered_at{};
    std::optional<Clock::TimePoint::duration> asked_to_wait;
  };

  bool try_front();
  bool take_or_wait();
  Source* next_source(bool own_is_due);
  Orphan* open_orphan();
  void finish_orphan();
  void count_missing(std::uint64_t through);
  void give_orphans_back();
  std::optional<Response> poll(Clock::TimePoint until);

  // Batches
  std::size_t batch_record_limit() const;
  std::size_t batch_byte_limit() const;
  bool is_behind(const Journal::Amount& unread) const;
  bool batch_is_due(const Journal::Amount& unread);
  std::optional<Clock::TimePoint> await_records(const Journal::Amount& unread);
  void wait_for_records(const Journal::Amount& unread);
  bool take_batch(Source& source);
  void settle(const Piece& piece);
  void split_front(std::size_t count);
  void settle_finished();

  // Requests
  void send_front();
  void ask_health(Headers headers);
  void send_records(Piece& piece, Headers headers);
  void make_body(Piece& piece);
  bool may_send_beside() const;
  Clock::TimePoint send_beside();
  int records_under_way() const;
  void wait_for_answer(Clock::TimePoint until);
  void note_answer(Response response);
  void conclude_answers();
  void conclude_health(const Response& response);
  void conclude_records(const Response& response);
  void reopen_question() { plan_.reset(); }
  void note_connection(const Response& response);

  // Outcomes of the piece in front
  void accept();
  void fail_unsent(const std::string& why);
  void fail_attempt(const std::string& why);
  void drop_refused(const Verdict& verdict, const Response& response);
  void drop_front(DropCause cause, const Response& response);
  void drop_front(DropCause cause, const std::string& why);
  void halve_or_drop(DropCause cause, const Response& response);
  void drop_or_hold_all(const Response& response);
  void drop_or_hold_refused(const Response& response);
  void drop(Piece& piece, DropCause cause);
  void mark_dropped(Piece& piece, const RecordView& record, DropCause cause);
  std::string describe(const Response& response) const;

  // Telling
  void tell_of_drops();
  void tell_news();
  void report_drops_at_the_door(const DropCounts& dropped);
  void send_notice(const DropCounts& dropped);

  // The end
  bool finish_closing();
  std::uint64_t settle_accepted();
  bool closing() const;
  Clock::TimePoint close_deadline() const;
  void set_last_error(const std::string& error) EXCLUDES(stats_mutex_);

  // Constant after construction.
  const Options& options_;
  const Endpoint& endpoint_;
  Journal& journal_;
  Transport& transport_;
  Mailbox& mailbox_;
  const Clock& clock_;

  // The worker's.
  Credentials credentials_;
  Reporter reporter_;
  const std::unique_ptr<Compressor> compressor_;
  Effort effort_;
  std::deque<Piece> pieces_;
  std::uint64_t health_request_ = 0;  // while it is under way, else 0
  std::optional<Plan> plan_;          // empty: what the API takes is an open question
  Clock::TimePoint plan_expires_{};   // early where the health answer was an error
  int posts_since_health_ = 0;
  bool connection_persists_ = true;
  int most_beside_ = 0;  // since the health answer: connections that there must be, less one
  bool steady_ = false;  // the last answer to records was 2xx
  Clock::TimePoint::duration answer_time_{};       // how long that one was in coming
  std::chrono::microseconds round_trip_{0};        // of the network then
  std::optional<Clock::TimePoint> waiting_since_;  // since when records wait for a full batch
  std::uint64_t read_through_ = 0;                 // sequence number of the last one taken up
  bool hurried_ = false;                           // closing has cut a wait for a retry short
  std::uint64_t known_news_ = 0;                   // of the journal
  DropCounts journal_drops_{};                     // as of then
  DropCounts known_drops_{};                       // that the reporter was told of
  DropNotice notice_;
  bool last_notice_sent_ = false;
  bool answers_ = false;                // the last request was answered with 2xx
  Clock::TimePoint maintenance_due_{};  // of the journal

  std::unique_ptr<Orphanage> orphanage_;
  std::unique_ptr<Orphan> orphan_;  // the one whose records are delivered now
  Clock::TimePoint next_search_{};  // for another
  bool orphans_turn_ = false;
  bool found_no_orphan_ = false;  // at the last search
  bool drains_only_ = false;
  bool holds_refused_ = false;
  std::minstd_rand random_;
  std::string joined_;                      // a body to compress; kept for its memory
  std::vector<RecordView> unused_records_;  // of a piece that there was; kept for its memory

  // Set by any thread, read by the worker.
  std::atomic<std::uint64_t> flush_through_{0};
  std::atomic<Clock::TimePoint::rep> close_deadline_;  // the largest value: not closing

  std::atomic<std::uint64_t> kept_through_{0};
  std::atomic<std::uint64_t> left_over_{0};
  mutable Mutex stats_mutex_;
  std::string last_error_ GUARDED_BY(stats_mutex_);
  std::atomic<std::uint64_t> retries_{0};
  std::atomic<std::uint64_t> batches_{0};
  std::atomic<std::uint64_t> bytes_sent_{0};
  std::atomic<std::uint64_t> adopted_delivered_{0};
  std::atomic<std::uint64_t> adopted_dropped_{0};
};

}  // namespace log_aggregator
