// With durability "power": what Stats::durable says is safe is there after a power cut, whatever
// the disk had written of the rest, and however often a sync has failed.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <iostream>
#include <map>
#include <memory>
#include <set>
#include <string>

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

struct Totals {
  std::uint64_t logged = 0;
  std::uint64_t safe = 0;  // said to be safe, and not settled when the power went
  std::uint64_t lost = 0;
  std::uint64_t more = 0;          // found although nothing was promised
  std::uint64_t false_alarms = 0;  // said to be missing although settled
  std::uint64_t failed_syncs = 0;
};

class Machine {
 public:
  Machine(Random& random, Totals& totals) : random_(random), totals_(totals) {
    EXPECT_TRUE(files_.make_directory("/spool").ok());
    EXPECT_TRUE(files_.sync_directory("/").ok());
    journal_ = std::make_unique<Journal>(
        Journal::Limits{
            .capacity_bytes = std::size_t{16} << (10 + random_.below(3)),
            .segment_bytes = 4096,
            .overflow = random_.one_in(2) ? Overflow::drop_newest : Overflow::drop_oldest,
            .block_timeout = milliseconds(0)},
        Journal::SpoolPlan{.files = files_,
                           .root = "/spool",
                           .mapped = random_.one_in(2),
                           .memory_bytes = 64 << 10,
                           .durability = Durability::power,
                           .sync_interval = milliseconds(100)});
    id_ = journal_->id();
    faults_ = random_.one_in(3);
  }

  void work() {
    for (std::uint64_t steps = random_.below(120); steps > 0; --steps) step();
  }

  // Everything that was said to be safe is found, again after a second cut, and nothing is found
  // that was not written.
  void cut_the_power() {
    note_what_is_safe();
    mend();
    files_.power_cut(random_, [&] { journal_.reset(); });
    check_what_is_found(random_.below(40));
    files_.power_cut(random_, [&] { orphan_.reset(); });
    check_what_is_found(UINT64_MAX);
  }

 private:
  void step() {
    switch (random_.below(12)) {
      case 0:
      case 1:
        return settle();
      case 2:
      case 3:
      case 4:
        now_ += milliseconds(random_.below(300));
        journal_->maintain(now_);
        return;
      case 5:
        return faults_ ? fail_something() : append();
      case 6:
        return mend();
      default:
        for (std::uint64_t i = random_.below(8); i > 0; --i) append();
    }
  }

  void append() {
    const std::size_t longest = random_.one_in(20) ? 6000 : 300;
    const std::string text =
        "{\"n\":" + std::to_string(++written_) + std::string(random_.below(longest), 'x') + "}";
    const Journal::Appended appended = journal_->append(random_.one_in(2) ? 20 : 40, text);
    ++totals_.logged;
    if (appended.taken) payloads_[appended.sequence] = text;
    if (appended.taken) pending_.insert(appended.sequence);
    for (const SequenceRange& range : journal_->given_up(SIZE_MAX)) {
      pending_.erase(pending_.lower_bound(range.first), pending_.upper_bound(range.last));
    }
  }

  void settle() {
    Settlement settlement;
    for (std::uint64_t most = random_.below(30); most > 0; --most) {
      const auto record = testing::read_one(*journal_);
      if (!record) break;
      const bool refused = random_.one_in(20);
      settle_one(settlement, *record, refused ? std::optional(DropCause::refused) : std::nullopt);
      pending_.erase(record->sequence);
    }
    journal_->unread();
    if (settlement.through > 0) journal_->settle(settlement);
  }

  void fail_something() {
    using Call = FakeFiles::Call;
    constexpr Call kCalls[] = {Call::sync,   Call::sync,  Call::sync_directory,
                               Call::rename, Call::write, Call::open};
    const Call call = kCalls[random_.below(std::size(kCalls))];
    files_.fail(call, random_.one_in(3) ? FakeFiles::kForever : 1, EIO, random_.below(3));
    ++totals_.failed_syncs;
  }

  void mend() {
    using Call = FakeFiles::Call;
    for (const Call call :
         {Call::sync, Call::sync_directory, Call::rename, Call::write, Call::open}) {
      files_.fail(call, 0);
    }
  }

  // All that is pending but for the last ones, which are in danger.
  void note_what_is_safe() {
    Stats stats;
    journal_->fill(stats);
    ASSERT_EQ(stats.pending, pending_.size());
    std::uint64_t endangered = stats.accepted - stats.durable;
    ASSERT_LE(endangered, pending_.size());
    safe_ = pending_;
    for (; endangered > 0; --endangered) safe_.erase(std::prev(safe_.end()));
    totals_.safe += safe_.size();
  }

  void check_what_is_found(std::uint64_t settled_again) {
    auto orphan = Orphan::adopt(files_, "/spool", id_, Durability::power);
    if (!orphan.ok()) {
      totals_.lost += safe_.size();
      return;
    }
    orphan_ = std::move(orphan.value());
    std::set<std::uint64_t> left = safe_;
    std::vector<ReadRecord> to_settle;
    std::uint64_t last = 0;
    for (const ReadRecord& record : testing::read_all(*orphan_)) {
      ASSERT_GT(record.sequence, last);
      last = record.sequence;
      ASSERT_EQ(payloads_[record.sequence], record.payload) << "nobody has written that";
      if (left.erase(record.sequence) == 0 && settled_again == UINT64_MAX) ++totals_.more;
      if (to_settle.size() < settled_again) to_settle.push_back(record);
    }
    totals_.lost += left.size();
    for (const std::uint64_t sequence : settled_again_) {
      if (orphan_->missing().contains(sequence)) ++totals_.false_alarms;
    }
    testing::deliver(*orphan_, to_settle);
    for (const ReadRecord& record : to_settle) {
      safe_.erase(record.sequence);
      settled_again_.insert(record.sequence);
    }
  }

  Random& random_;
  Totals& totals_;
  FakeFiles files_;
  std::unique_ptr<Journal> journal_;
  std::unique_ptr<Orphan> orphan_;
  std::string id_;
  bool faults_ = false;
  Clock::TimePoint now_{};
  std::uint64_t written_ = 0;
  std::map<std::uint64_t, std::string> payloads_;
  std::set<std::uint64_t> pending_;
  std::set<std::uint64_t> safe_;
  std::set<std::uint64_t> settled_again_;  // by who adopted the journal
};

TEST(PowerCutTest, nothing_at_or_below_the_durable_position_is_lost) {
  Random random;
  Totals totals;
  const int machines = 500 * testing::soak_factor();
  for (int i = 0; i < machines; ++i) {
    Machine machine(random, totals);
    machine.work();
    machine.cut_the_power();
    if (HasFailure()) FAIL() << "machine " << i;
  }
  std::cout << "power cuts " << 2 * machines << " of " << machines << " machines: logged "
            << totals.logged << ", durable and not settled yet " << totals.safe << ", of them lost "
            << totals.lost << "; found beyond that " << totals.more
            << ", of a former life 0, faults " << totals.failed_syncs << std::endl;
  EXPECT_EQ(totals.lost, 0U);
  EXPECT_EQ(totals.false_alarms, 0U);
  EXPECT_GT(totals.safe, 0U);
}

}  // namespace
}  // namespace log_aggregator
