// The journal in files against a simple model: random records, fates, faults, kills, adoptions and
// power cuts, with the books checked at each step.
//
// The model remembers of each record what was written and what became of it. Of a journal that
// nothing has failed, every record that was taken is found after a kill, once, in order; of others,
// what is not found was in memory, or is counted.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <iostream>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "src/journal/journal.h"
#include "src/journal/orphan.h"
#include "src/testing/fake_files.h"
#include "src/testing/spool_reader.h"

namespace log_aggregator {
namespace {

using std::chrono::milliseconds;
using testing::FakeFiles;
using testing::Random;
using testing::ReadRecord;

constexpr std::size_t kSegmentBytes = 4096;

enum class Fate { pending, delivered, given_up, evicted, missing };

struct Kept {
  std::string payload;
  int severity = 0;
  Fate fate = Fate::pending;
  bool doubtful = false;  // the disk was failing: it may be in memory only
};

// What the model knows of one journal.
struct Known {
  std::map<std::uint64_t, Kept> records;
  std::uint64_t damaged_records = 0;  // at most, by flipped bits
  bool cursor_doubtful = false;       // a write failed: it may be older than what was settled
};

struct Totals {
  std::uint64_t taken = 0;
  std::uint64_t delivered = 0;
  std::uint64_t twice = 0;
  std::uint64_t given_up = 0;
  std::uint64_t evicted = 0;
  std::uint64_t missing = 0;  // not there any more, and counted
  std::uint64_t with_it = 0;  // at the end, in memory: gone with their process
  std::uint64_t refused = 0;  // not taken
  std::uint64_t kills = 0;
};

struct Way {
  bool mapped = true;
  Durability durability = Durability::process;
  Overflow overflow = Overflow::drop_newest;
  bool with_faults = false;
};

class World {
 public:
  World(Random& random, const Way& way, Totals& totals)
      : random_(random), way_(way), totals_(totals) {
    EXPECT_TRUE(files_.make_directory("/spool").ok());
    open_journal();
  }
  ~World() {
    orphan_.reset();
    journal_.reset();
  }

  void step() {
    switch (random_.below(60)) {
      case 0:
        return kill();
      case 1:
        return finish();
      case 2:
        return random_.one_in(3) ? close() : kill();
      case 3:
      case 4:
        return way_.with_faults ? break_something() : maintain();
      case 5:
      case 6:
      case 7:
        return mend();
      case 8:
        return offer();
      case 9:
        return orphan_.reset(), orphan_under_way_.clear();
      case 10:
        return way_.with_faults ? flip_a_bit() : append();
      case 11:
      case 12:
      case 13:
      case 14:
        return read(*journal_, own_id_, under_way_);
      case 15:
      case 16:
      case 17:
        return settle(*journal_, own_id_, under_way_);
      case 18:
      case 19:
      case 20:
      case 21:
        return maintain();
      case 22:
      case 23:
      case 24:
      case 25:
      case 26:
      case 27:
        return static_cast<void>(work_on_orphan());
      default:
        for (std::uint64_t i = 0; i < 1 + random_.below(6); ++i) append();
    }
  }

  void check_books() {
    Stats stats;
    journal_->fill(stats);
    ASSERT_EQ(stats.accepted, stats.delivered + stats.pending + stats.dropped_total());
    ASSERT_EQ(stats.accepted, accepted_);
    ASSERT_EQ(stats.delivered, delivered_);
    std::uint64_t pending = 0;
    for (const auto& [sequence, kept] : own().records) pending += kept.fate == Fate::pending;
    ASSERT_EQ(stats.pending, pending);
  }

  // Everything mended, every orphan drained: each record has met its fate.
  void end() {
    mend();
    kill();
    work_until_nothing_is_left();
    for (auto& [id, known] : journals_) {
      for (auto& [sequence, kept] : known.records) {
        ++totals_.taken;
        if (kept.fate == Fate::pending) {
          EXPECT_TRUE(kept.doubtful || known.damaged_records > 0)
              << "record " << sequence << " of " << id << " is lost";
          ++totals_.with_it;
        }
        totals_.delivered += kept.fate == Fate::delivered;
        totals_.given_up += kept.fate == Fate::given_up;
        totals_.evicted += kept.fate == Fate::evicted;
        totals_.missing += kept.fate == Fate::missing;
      }
    }
    for (const std::string& path : files_.paths()) {
      EXPECT_TRUE(path.find(own_id_) != std::string::npos ||
                  path.find(".new/") != std::string::npos)
          << path;
    }
  }

 private:
  Known& own() { return journals_[own_id_]; }

  void open_journal() {
    journal_ = std::make_unique<Journal>(Journal::Limits{.capacity_bytes = 20 << 10,
                                                         .segment_bytes = kSegmentBytes,
                                                         .overflow = way_.overflow,
                                                         .block_timeout = milliseconds(0)},
                                         Journal::SpoolPlan{.files = files_,
                                                            .root = "/spool",
                                                            .mapped = way_.mapped,
                                                            .memory_bytes = 24 << 10,
                                                            .durability = way_.durability,
                                                            .sync_interval = milliseconds(100)});
    own_id_ = journal_->id();
    journals_[own_id_].cursor_doubtful = broken_;
    accepted_ = delivered_ = 0;
    closed_ = false;
    // Where something is failing now, its first file may be refused.
    doubtful_ = broken_;
  }

  // ---- the journal of this process

  std::string payload() {
    const std::uint64_t kind = random_.below(30);
    const std::size_t longest = kind == 0 ? 7000 : kind < 4 ? 1500 : 120;
    return "{\"n\":" + std::to_string(++written_) + std::string(random_.below(longest), 'x') + "}";
  }

  void append() {
    constexpr int kSeverities[] = {10, 20, 30, 40, 50};
    const int severity = kSeverities[random_.below(5)];
    const std::string text = payload();
    const Journal::Appended appended = journal_->append(severity, text);
    ++accepted_;
    if (!appended.taken) {
      ++totals_.refused;
      return note_evicted();
    }
    keep(appended.sequence, severity, text);
  }

  void offer() {
    const std::string text = payload();
    const std::uint64_t sequence = journal_->offer(30, text);
    if (sequence == 0) return;
    ++accepted_;
    keep(sequence, 30, text);
  }

  void keep(std::uint64_t sequence, int severity, const std::string& text) {
    const auto& records = own().records;
    ASSERT_EQ(sequence, records.empty() ? 1 : records.rbegin()->first + 1);
    own().records[sequence] = {text, severity, Fate::pending, doubtful_};
    note_evicted();
  }

  // Those that the journal has given up to make room.
  void note_evicted() {
    for (const SequenceRange& range : journal_->given_up(SIZE_MAX)) {
      for (auto at = own().records.lower_bound(range.first);
           at != own().records.end() && at->first <= range.last; ++at) {
        if (at->second.fate == Fate::pending) at->second.fate = Fate::evicted;
      }
    }
  }

  void close() {
    closed_ = true;
    journal_->close();
  }

  void maintain() {
    now_ += milliseconds(random_.below(2500));
    if (journal_->maintain(now_) <= now_) {
      ASSERT_GT(journal_->maintain(now_), now_) << "the worker would spin";
    }
    // Where nothing fails any more, the disk has been tried again.
    if (broken_) return;
    now_ += milliseconds(2500);
    journal_->maintain(now_);
    doubtful_ = closed_ ? doubtful_ : false;
  }

  void read(Source& source, const std::string& id, std::deque<ReadRecord>& under_way) {
    Known& known = journals_.at(id);
    for (std::uint64_t most = 1 + random_.below(20); most > 0; --most) {
      const auto record = testing::read_one(source);
      if (!record) break;
      const auto found = known.records.find(record->sequence);
      ASSERT_NE(found, known.records.end()) << "never written: " << record->sequence;
      ASSERT_EQ(found->second.payload, record->payload);
      ASSERT_EQ(found->second.severity, record->severity);
      ASSERT_TRUE(under_way.empty() || record->sequence > under_way.back().sequence);
      under_way.push_back(*record);
    }
    if (&source == journal_.get()) journal_->unread();
  }

  // Of the oldest under way, some.
  void settle(Source& source, const std::string& id, std::deque<ReadRecord>& under_way) {
    if (under_way.empty()) return;
    Known& known = journals_.at(id);
    Settlement settlement;
    const std::uint64_t count = 1 + random_.below(under_way.size());
    for (std::uint64_t i = 0; i < count; ++i) {
      const ReadRecord& record = under_way.front();
      const bool refused = random_.one_in(20);
      settle_one(settlement, record, refused ? std::optional(DropCause::refused) : std::nullopt);
      Kept& kept = known.records.at(record.sequence);
      if (kept.fate != Fate::pending) {
        ++totals_.twice;
        ASSERT_TRUE(known.cursor_doubtful || kept.fate == Fate::evicted) << record.sequence;
      }
      if (kept.fate != Fate::delivered) kept.fate = refused ? Fate::given_up : Fate::delivered;
      if (&source == journal_.get()) delivered_ += refused ? 0 : 1;
      under_way.pop_front();
    }
    known.cursor_doubtful |= broken_;
    source.settle(settlement);
    if (random_.one_in(3)) source.given_up_acknowledged(source.given_up(3));
    if (&source == orphan_.get()) note_missing(known, settlement.through);
  }

  // The end of the journal as close() makes it.
  void finish() {
    close();
    std::uint64_t pending = 0;
    for (const auto& [sequence, kept] : own().records) pending += kept.fate == Fate::pending;
    const Journal::Leftover left = journal_->finish();
    ASSERT_EQ(left.dropped + left.spooled, pending);
    std::uint64_t dropped = 0;
    for (const SequenceRange& range : journal_->given_up(SIZE_MAX)) {
      for (auto at = own().records.lower_bound(range.first);
           at != own().records.end() && at->first <= range.last; ++at) {
        if (at->second.fate != Fate::pending) continue;
        ASSERT_TRUE(at->second.doubtful) << at->first;
        at->second.fate = Fate::given_up;
        ++dropped;
      }
    }
    ASSERT_EQ(dropped, left.dropped);
    own().cursor_doubtful |= broken_;
    under_way_.clear();
    journal_.reset();
    open_journal();
  }

  void kill() {
    ++totals_.kills;
    files_.kill([&] {
      journal_.reset();
      orphan_.reset();
    });
    under_way_.clear();
    orphan_under_way_.clear();
    open_journal();
  }

  // ---- the disk

  void break_something() {
    using Call = FakeFiles::Call;
    constexpr Call kCalls[] = {Call::open, Call::reserve, Call::write,  Call::sync,
                               Call::map,  Call::rename,  Call::remove, Call::sync_directory};
    constexpr int kErrors[] = {EIO, ENOSPC, EMFILE};
    broken_ = doubtful_ = true;
    own().cursor_doubtful = true;
    if (orphan_) journals_.at(orphan_->id()).cursor_doubtful = true;
    if (random_.one_in(4)) {
      files_.set_capacity(files_.used_bytes() + random_.below(4) * kSegmentBytes);
    } else {
      files_.fail(kCalls[random_.below(std::size(kCalls))],
                  random_.one_in(2) ? FakeFiles::kForever : 1 + random_.below(4),
                  kErrors[random_.below(3)], random_.below(4));
    }
  }

  void mend() {
    using Call = FakeFiles::Call;
    for (const Call call : {Call::open, Call::reserve, Call::write, Call::sync, Call::map,
                            Call::rename, Call::remove, Call::sync_directory}) {
      files_.fail(call, 0);
    }
    files_.set_capacity(FakeFiles::kForever);
    broken_ = false;
  }

  // In a segment of a journal that is dead and nobody reads.
  void flip_a_bit() {
    for (const std::string& path : files_.paths()) {
      if (!path.ends_with(".segment") || !random_.one_in(4)) continue;
      const std::string id = path.substr(7, 36);
      if (id == own_id_ || (orphan_ && id == orphan_->id())) continue;
      const std::uint64_t bits = files_.read_file(path).size() * 8;
      if (bits == 0) continue;
      files_.flip_bit(path, random_.below(bits));
      ++journals_.at(id).damaged_records;
      return;
    }
  }

  // ---- orphans

  // False where there is none.
  bool work_on_orphan() {
    if (!orphan_) orphan_ = Orphanage(files_, "/spool").next();
    if (!orphan_) return false;
    EXPECT_NE(orphan_->id(), own_id_);
    Known& known = journals_.at(orphan_->id());
    known.cursor_doubtful |= broken_;
    read(*orphan_, orphan_->id(), orphan_under_way_);
    settle(*orphan_, orphan_->id(), orphan_under_way_);
    if (!orphan_under_way_.empty() || orphan_->peek() || orphan_->stuck()) return true;
    note_missing(known, UINT64_MAX);
    orphan_->discard();
    orphan_.reset();
    return true;
  }

  // What the orphan says is missing up to there is not pending any more. Nothing else may be
  // skipped, and nothing is called missing that has met its fate.
  void note_missing(Known& known, std::uint64_t through) {
    std::uint64_t gone = 0;
    for (const SequenceRange& range : orphan_->missing().ranges()) {
      for (std::uint64_t number = range.first; number <= std::min(range.last, through); ++number) {
        const auto found = known.records.find(number);
        ASSERT_NE(found, known.records.end()) << "never written: " << number;
        Kept& kept = found->second;
        if (kept.fate == Fate::pending) {
          kept.fate = Fate::missing;
        } else {
          // Evicted ones lie in the files until the journal removes them.
          const bool damaged = kept.fate == Fate::evicted && known.damaged_records > 0;
          ASSERT_TRUE(kept.fate == Fate::missing || known.cursor_doubtful || damaged)
              << number << " has met its fate " << static_cast<int>(kept.fate);
        }
        if (!kept.doubtful) ++gone;
      }
    }
    ASSERT_LE(gone, known.damaged_records + (known.cursor_doubtful ? SIZE_MAX / 2 : 0));
    for (const auto& [number, kept] : known.records) {
      if (number > through || through == UINT64_MAX) break;
      ASSERT_NE(kept.fate, Fate::pending) << number << " was passed over";
    }
  }

  void work_until_nothing_is_left() {
    while (work_on_orphan()) {
      if (::testing::Test::HasFailure()) return;
    }
  }

  Random& random_;
  const Way way_;
  Totals& totals_;
  FakeFiles files_;
  bool broken_ = false;
  bool doubtful_ = false;
  bool closed_ = false;
  Clock::TimePoint now_{};
  std::map<std::string, Known> journals_;
  std::unique_ptr<Journal> journal_;
  std::string own_id_;
  std::deque<ReadRecord> under_way_;
  std::unique_ptr<Orphan> orphan_;
  std::deque<ReadRecord> orphan_under_way_;
  std::uint64_t written_ = 0;
  std::uint64_t accepted_ = 0;
  std::uint64_t delivered_ = 0;
};

TEST(SpoolModelTest, a_journal_in_files_agrees_with_a_simple_model) {
  Random random;
  Totals totals;
  const int worlds = 40 * testing::soak_factor();
  for (int i = 0; i < worlds; ++i) {
    const Way way{.mapped = random.one_in(2),
                  .durability = random.one_in(2) ? Durability::process : Durability::power,
                  .overflow = random.one_in(2) ? Overflow::drop_newest : Overflow::drop_oldest,
                  .with_faults = random.one_in(2)};
    World world(random, way, totals);
    SCOPED_TRACE("world " + std::to_string(i) + (way.mapped ? " mapped" : " written"));
    for (int step = 0; step < 400; ++step) {
      world.step();
      world.check_books();
      if (HasFailure()) return;
    }
    world.end();
    if (HasFailure()) return;
  }
  std::cout << "worlds " << worlds << ", kills " << totals.kills << ": taken " << totals.taken
            << " = delivered " << totals.delivered << " + given up " << totals.given_up
            << " + evicted " << totals.evicted << " + missing and counted " << totals.missing
            << " + in the memory of a killed process while the disk refused, or cut off at the end "
            << totals.with_it << "; not taken " << totals.refused << ", read twice " << totals.twice
            << std::endl;
  EXPECT_EQ(totals.taken,
            totals.delivered + totals.given_up + totals.evicted + totals.missing + totals.with_it);
}

}  // namespace
}  // namespace log_aggregator
