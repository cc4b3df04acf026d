#include "collector/http/tails.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <string_view>
#include <utility>

#include "collector/http/query.h"

namespace log_aggregator::collector {

namespace {

constexpr std::size_t kPageBytes = 256 << 10;
// The store failed to read; it may work again.
constexpr std::chrono::milliseconds kRetryInterval(500);

std::string id_field(std::int64_t id) { return "id: " + std::to_string(id) + '\n'; }

}  // namespace

// What one client follows. The thread of Tails writes to it, the server's thread reads.
class Tails::Tail : public HttpStream {
 public:
  // Shows what comes after the record `after`; the foremost tails are at `foremost`.
  Tail(Tails& tails, Selection selection, std::int64_t after, std::int64_t foremost)
      : tails_(tails),
        selection_(std::move(selection)),
        after_(after),
        lossless_until_(std::max(after, foremost)),
        pending_(id_field(after) + '\n'),  // where a client that comes back goes on
        position_(std::min(after, foremost)) {
    ++tails_.count_;
    tails_.pending_bytes_ += pending_.size();
  }
  ~Tail() override {
    tails_.pending_bytes_ -= pending_.size();
    --tails_.count_;
  }

  void start(Wake wake) override {
    MutexLock lock(mutex_);
    wake_ = std::move(wake);
  }
  void stop() override {
    MutexLock lock(mutex_);
    wake_ = nullptr;
  }
  std::string read() override;
  std::string_view keep_alive() const override { return ":\n\n"; }

  // All below is for the thread of Tails.

  // It has been shown all up to here.
  std::int64_t position() const { return position_; }
  // Whether it is to be shown more now. `foremost` is how far the foremost tails are.
  bool is_ready(std::int64_t foremost) EXCLUDES(mutex_);
  bool wants(std::int64_t id, Matcher& matcher) const {
    return id > after_ && matcher.matches(selection_);
  }
  void add(std::string_view frame) EXCLUDES(mutex_);
  void advance(std::int64_t position, std::int64_t foremost) EXCLUDES(mutex_);

 private:
  bool is_full() EXCLUDES(mutex_);
  void append(std::string_view text) EXCLUDES(mutex_);

  Tails& tails_;
  const Selection selection_;
  const std::int64_t after_;
  const std::int64_t lossless_until_;  // what its client asked for by name

  Mutex mutex_;
  Wake wake_ GUARDED_BY(mutex_);
  std::string pending_ GUARDED_BY(mutex_);
  bool refused_ GUARDED_BY(mutex_) = false;  // to take more; the next read() makes room

  // Of the thread of Tails.
  std::int64_t position_;
  bool skipping_ = false;  // records are counted, not written, until it has caught up
  std::uint64_t skipped_ = 0;
};

std::string Tails::Tail::read() {
  bool made_room = false;
  std::string text;
  {
    MutexLock lock(mutex_);
    text.swap(pending_);
    made_room = std::exchange(refused_, false);
  }
  tails_.pending_bytes_ -= text.size();
  if (made_room) tails_.wake();
  return text;
}

bool Tails::Tail::is_ready(std::int64_t foremost) {
  if (foremost - std::max(position_, lossless_until_) > tails_.limits_.max_lag) skipping_ = true;
  return skipping_ || !is_full();
}

bool Tails::Tail::is_full() {
  const TailLimits& limits = tails_.limits_;
  MutexLock lock(mutex_);
  refused_ = !pending_.empty() && (pending_.size() >= limits.max_pending_bytes ||
                                   tails_.pending_bytes_ >= limits.max_total_pending_bytes);
  return refused_;
}

void Tails::Tail::add(std::string_view frame) {
  if (skipping_) {
    ++skipped_;
  } else {
    append(frame);
  }
}

void Tails::Tail::append(std::string_view text) {
  tails_.pending_bytes_ += text.size();
  MutexLock lock(mutex_);
  const bool was_empty = pending_.empty();
  pending_ += text;
  if (was_empty && wake_) wake_();
}

void Tails::Tail::advance(std::int64_t position, std::int64_t foremost) {
  position_ = position;
  if (!skipping_ || position_ < foremost) return;
  skipping_ = false;
  if (skipped_ == 0) return;
  append("event: missed\ndata: {\"missed\":" + std::to_string(skipped_) + "}\n\n");
  tails_.missed_ += std::exchange(skipped_, 0);
}

Tails::Tails(Store& store, TailLimits limits) : store_(store), limits_(limits) {
  const auto last_id = store_.last_id();
  if (last_id.ok()) stored_id_ = shown_id_ = last_id.value();
  store_.listen([this](std::int64_t id) {
    MutexLock lock(mutex_);
    stored_id_ = std::max(stored_id_, id);
    work_.notify_one();
  });
  thread_ = std::thread([this] { run(); });
}

Tails::~Tails() {
  store_.listen(nullptr);
  {
    MutexLock lock(mutex_);
    closing_ = true;
    work_.notify_one();
  }
  thread_.join();
}

std::shared_ptr<HttpStream> Tails::open(Selection selection, std::optional<std::int64_t> after) {
  // The newest one: shown_id_ may be behind what senders know to be stored. A record that is not
  // there yet is of another store: this one was made anew.
  const auto last_id = store_.last_id();
  if (last_id.ok()) after = std::min(after.value_or(last_id.value()), last_id.value());
  MutexLock lock(mutex_);
  if (count_ >= limits_.max_tails) return nullptr;
  auto tail =
      std::make_shared<Tail>(*this, std::move(selection), after.value_or(shown_id_), shown_id_);
  tails_.push_back(tail);
  changed_ = true;
  work_.notify_one();
  return tail;
}

void Tails::wake() {
  MutexLock lock(mutex_);
  changed_ = true;
  work_.notify_one();
}

void Tails::run() {
  while (wait_for_work()) {
    const TailList tails = all();
    if (show_new(tails) && show_old(tails)) continue;
    MutexLock lock(mutex_);
    changed_ = true;  // try again
    const auto deadline = std::chrono::steady_clock::now() + kRetryInterval;
    while (!closing_ && std::chrono::steady_clock::now() < deadline) {
      work_.wait_until(mutex_, deadline);
    }
  }
}

bool Tails::wait_for_work() {
  MutexLock lock(mutex_);
  while (!closing_ && !changed_ && stored_id_ == shown_id_) work_.wait(mutex_);
  changed_ = false;
  return !closing_;
}

Tails::TailList Tails::all() {
  MutexLock lock(mutex_);
  TailList open;
  std::vector<std::weak_ptr<Tail>> kept;
  for (std::weak_ptr<Tail>& each : tails_) {
    if (auto tail = each.lock()) {
      open.push_back(std::move(tail));
      kept.push_back(std::move(each));
    }
  }
  tails_ = std::move(kept);
  return open;
}

// False where the store failed.
bool Tails::show_new(const TailList& tails) {
  std::int64_t shown = 0;
  std::int64_t stored = 0;
  {
    MutexLock lock(mutex_);
    shown = shown_id_;
    stored = stored_id_;
  }
  if (stored == shown) return true;
  TailList ready;
  for (const auto& tail : tails) {
    if (tail->position() == shown && tail->is_ready(shown)) ready.push_back(tail);
  }
  // With nobody to show it to there is nothing to read: all that are open come later.
  std::int64_t last = stored;
  if (!ready.empty() && !show_after(shown, stored, ready, last)) return false;
  for (const auto& tail : ready) tail->advance(last, last);
  MutexLock lock(mutex_);
  shown_id_ = last;
  return true;
}

// A page for each tail that is not as far as the foremost ones, and can take it.
bool Tails::show_old(const TailList& tails) {
  std::int64_t foremost = 0;
  {
    MutexLock lock(mutex_);
    foremost = shown_id_;
  }
  std::map<std::int64_t, TailList> ready;  // by position: those at the same are read one page
  for (const auto& tail : tails) {
    const std::int64_t position = tail->position();
    if (position < foremost && tail->is_ready(foremost)) ready[position].push_back(tail);
  }
  for (const auto& [position, group] : ready) {
    std::int64_t last = foremost;
    if (!show_after(position, foremost, group, last)) return false;
    for (const auto& tail : group) tail->advance(last, foremost);
  }
  MutexLock lock(mutex_);
  changed_ = changed_ || !ready.empty();
  return true;
}

// Shows records after `begin`, none after `end`. `last` is how far that went.
bool Tails::show_after(std::int64_t begin, std::int64_t end, const TailList& tails,
                       std::int64_t& last) {
  const auto records = store_.read_after(begin, kPageBytes);
  if (!records.ok()) return false;
  last = end;  // there may be ids without a record
  for (const StoredRecord& record : records.value()) {
    if (record.id > end) return true;
    last = record.id;
    frame_.clear();
    matcher_.look_at(record.json);
    for (const auto& tail : tails) {
      if (!tail->wants(record.id, matcher_)) continue;
      if (frame_.empty()) write_frame(record);
      tail->add(frame_);
    }
  }
  return true;
}

void Tails::write_frame(const StoredRecord& record) {
  frame_ = id_field(record.id) + "data: " + record_with_id(record) + "\n\n";
  // Line breaks between the parts of the JSON would end the event.
  const auto end = frame_.end() - 2;
  std::replace(frame_.begin() + static_cast<std::ptrdiff_t>(frame_.find('\n') + 1), end, '\n', ' ');
  std::replace(frame_.begin(), end, '\r', ' ');
}

}  // namespace log_aggregator::collector
