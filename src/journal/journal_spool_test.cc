// A journal whose records lie in files: what a kill leaves, and what the journal does when the disk
// fails it. Each on a file system in memory, that can fail, and the kills on the real one, too.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "src/journal/journal.h"
#include "src/journal/orphan.h"
#include "src/testing/fake_files.h"
#include "src/testing/spool_reader.h"
#include "src/testing/temporary_directory.h"

namespace log_aggregator {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;
using testing::FakeFiles;
using ::testing::IsEmpty;
using testing::ReadRecord;
using testing::Recovered;
using ::testing::SizeIs;
using Call = FakeFiles::Call;

constexpr std::size_t kSegmentBytes = 4096;
constexpr int kInfo = 20;

// Fake or real files, mapped or written.
struct Kind {
  const char* name;
  bool real;
  bool mapped;
};
constexpr Kind kFakeMapped{"fake_mapped", false, true};
constexpr Kind kFakeWritten{"fake_written", false, false};
constexpr Kind kRealMapped{"real_mapped", true, true};
constexpr Kind kRealWritten{"real_written", true, false};

std::string name_of(const ::testing::TestParamInfo<Kind>& info) { return info.param.name; }

class JournalSpoolTest : public ::testing::TestWithParam<Kind> {
 protected:
  void SetUp() override {
    ASSERT_TRUE(fake_.make_directory("/spool").ok());
    open();
  }

  void open(Overflow overflow = Overflow::drop_newest, Durability durability = Durability::process,
            std::size_t capacity_bytes = 16 << 20, std::size_t segment_bytes = kSegmentBytes) {
    taken_.clear();
    now_ = {};
    journal_ = std::make_unique<Journal>(Journal::Limits{.capacity_bytes = capacity_bytes,
                                                         .segment_bytes = segment_bytes,
                                                         .overflow = overflow,
                                                         .block_timeout = milliseconds(0)},
                                         Journal::SpoolPlan{.files = files(),
                                                            .root = root(),
                                                            .mapped = GetParam().mapped,
                                                            .memory_bytes = 32 << 10,
                                                            .durability = durability,
                                                            .sync_interval = milliseconds(100)});
    id_ = journal_->id();
  }

  // Segments of which many fit in few files.
  void open_large() { open(Overflow::drop_newest, Durability::process, 16 << 20, 256 << 10); }

  Files& files() { return GetParam().real ? real_files() : static_cast<Files&>(fake_); }
  std::string root() { return GetParam().real ? directory_.path() : "/spool"; }

  bool append(const std::string& payload) {
    const auto appended = journal_->append(kInfo, payload);
    if (appended.taken) taken_.push_back({appended.sequence, kInfo, payload});
    return appended.taken;
  }
  void append_many(int records, std::size_t bytes = 300) {
    for (int i = 0; i < records; ++i) {
      ASSERT_TRUE(append(std::to_string(taken_.size()) + std::string(bytes, 'x')));
    }
  }
  std::vector<ReadRecord> read(std::size_t most = SIZE_MAX) {
    std::vector<ReadRecord> records;
    while (records.size() < most) {
      auto record = testing::read_one(*journal_);
      if (!record) break;
      records.push_back(std::move(*record));
    }
    journal_->unread();
    return records;
  }
  std::vector<ReadRecord> read_and_deliver(std::size_t most = SIZE_MAX) {
    auto records = read(most);
    testing::deliver(*journal_, records);
    return records;
  }
  void maintain() {
    now_ += seconds(2);
    journal_->maintain(now_);
  }
  // As SIGKILL does it: files are as they are, locks are gone.
  void kill() {
    if (GetParam().real) {
      journal_.reset();  // its destructor tidies nothing up
    } else {
      fake_.kill([&] { journal_.reset(); });
    }
  }
  Recovered recover() { return testing::recover(files(), root(), id_); }

  Stats stats() const {
    Stats stats;
    journal_->fill(stats);
    return stats;
  }
  void expect_books_add_up() const {
    const Stats now = stats();
    EXPECT_EQ(now.accepted, now.delivered + now.pending + now.dropped_total());
  }
  std::vector<ReadRecord> taken_from(std::size_t index) const {
    return {taken_.begin() + static_cast<std::ptrdiff_t>(index), taken_.end()};
  }
  std::vector<std::string> names() {
    std::vector<std::string> names = files().list(root()).value();
    return names;
  }

  FakeFiles fake_;
  testing::TemporaryDirectory directory_;
  std::unique_ptr<Journal> journal_;
  std::string id_;
  std::vector<ReadRecord> taken_;
  Clock::TimePoint now_{};
};

TEST_P(JournalSpoolTest, a_kill_loses_nothing_that_was_taken) {
  append_many(100);
  kill();
  const Recovered found = recover();
  EXPECT_EQ(found.records, taken_);
  EXPECT_EQ(found.missing, 0U);
}

TEST_P(JournalSpoolTest, a_kill_loses_nothing_between_settling_and_using_files_again) {
  for (std::size_t round = 1; round <= 40; ++round) {
    append_many(9);
    if (round % 3 == 0) maintain();
    read_and_deliver(8);
    if (round % 2 == 0) maintain();
  }
  kill();
  const Recovered found = recover();
  EXPECT_EQ(found.records, taken_from(40 * 8));
  EXPECT_EQ(found.missing, 0U);
}

TEST_P(JournalSpoolTest, a_large_record_between_small_ones_keeps_its_place) {
  append_many(3);
  append_many(1, 50'000);
  append_many(3);
  maintain();
  append_many(1, 70'000);
  append_many(30);
  kill();
  EXPECT_EQ(recover().records, taken_);
}

TEST_P(JournalSpoolTest, what_was_evicted_is_neither_found_nor_missed) {
  open(Overflow::drop_oldest, Durability::process, 32 << 10);
  append_many(60);
  read(3);
  append_many(200);
  maintain();
  const std::uint64_t evicted = stats().dropped_for(DropCause::evicted);
  EXPECT_GT(evicted, 0U);
  expect_books_add_up();
  kill();
  const Recovered found = recover();
  EXPECT_EQ(found.records.size() + evicted, taken_.size());
  EXPECT_EQ(found.missing, 0U);
}

TEST_P(JournalSpoolTest, parked_segments_are_read_back) {
  open_large();
  append_many(3'000, 3'000);  // more than stays in memory
  maintain();
  EXPECT_EQ(read(), taken_);
  testing::deliver(*journal_, taken_);
  EXPECT_EQ(stats().delivered, taken_.size());
  expect_books_add_up();
}

TEST_P(JournalSpoolTest, finishing_leaves_what_is_not_settled_for_the_next) {
  append_many(50);
  read_and_deliver(20);
  maintain();
  const Journal::Leftover left = journal_->finish();
  EXPECT_EQ(left.dropped, 0U);
  EXPECT_EQ(left.spooled, 30U);
  const Recovered found = recover();  // the lock was given back
  EXPECT_EQ(found.records, taken_from(20));
}

TEST_P(JournalSpoolTest, finishing_with_nothing_left_leaves_nothing) {
  append_many(50);
  read_and_deliver();
  const Journal::Leftover left = journal_->finish();
  EXPECT_EQ(left.dropped + left.spooled, 0U);
  EXPECT_THAT(names(), IsEmpty());
}

TEST_P(JournalSpoolTest, nothing_is_made_where_nothing_is_logged) {
  maintain();
  EXPECT_THAT(names(), IsEmpty());
  journal_->finish();
  EXPECT_THAT(names(), IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(Kinds, JournalSpoolTest,
                         ::testing::Values(kFakeMapped, kFakeWritten, kRealMapped, kRealWritten),
                         name_of);

class JournalDiskTest : public JournalSpoolTest {};

TEST_P(JournalDiskTest, files_of_settled_segments_are_used_again) {
  append_many(100);
  read_and_deliver();
  maintain();
  const std::uint64_t opened = fake_.calls(Call::open);
  for (int round = 0; round < 3; ++round) {
    append_many(90);
    maintain();
    read_and_deliver(round < 2 ? 90 : 0);
    maintain();
  }
  EXPECT_EQ(fake_.calls(Call::open), opened);
  EXPECT_EQ(fake_.calls(Call::remove), 0U);
  kill();
  EXPECT_EQ(recover().records, taken_from(100 + 2 * 90));
}

TEST_P(JournalDiskTest, files_of_segments_that_were_parked_are_used_again) {
  open_large();
  append_many(3'000, 3'000);
  maintain();
  read_and_deliver(1'500);
  maintain();
  append_many(1'300, 3'000);  // in the files of those that were not parked
  read_and_deliver(1'400);
  maintain();
  const std::uint64_t opened = fake_.calls(Call::open);
  append_many(1'000, 3'000);
  EXPECT_EQ(fake_.calls(Call::open), opened);
  kill();
  EXPECT_EQ(recover().records, taken_from(2'900));
}

TEST_P(JournalDiskTest, a_file_that_cannot_be_written_is_not_made_ready) {
  append_many(10);
  fake_.fail(Call::write);
  maintain();
  EXPECT_EQ(journal_->take_trouble().empty(), !GetParam().mapped);
  fake_.fail(Call::write, 0);
  maintain();
  append_many(20);
  kill();
  EXPECT_EQ(recover().records, taken_);
}

TEST_P(JournalDiskTest, a_full_disk_makes_records_stay_in_memory_until_it_is_mended) {
  append_many(10);
  maintain();
  fake_.set_capacity(fake_.used_bytes());
  append_many(40);
  maintain();
  EXPECT_FALSE(journal_->take_trouble().empty());
  EXPECT_TRUE(journal_->take_trouble().empty());
  expect_books_add_up();
  fake_.set_capacity(FakeFiles::kForever);
  maintain();
  const std::size_t mended = taken_.size();
  append_many(20);
  kill();
  const Recovered found = recover();
  // What was logged while the disk was full is gone with the process, and counted.
  EXPECT_EQ(found.records.size() + found.missing, taken_.size());
  const auto last = found.records.end() - 20;
  EXPECT_EQ(std::vector<ReadRecord>(last, found.records.end()), taken_from(mended));
}

TEST_P(JournalDiskTest, a_disk_that_is_full_for_ever_makes_the_journal_one_in_memory) {
  fake_.set_capacity(0);
  append_many(20);
  EXPECT_EQ(read_and_deliver(), taken_);
  while (append("more" + std::string(500, 'x'))) {
  }
  maintain();
  expect_books_add_up();
  const Journal::Leftover left = journal_->finish();
  EXPECT_EQ(left.spooled, 0U);
  EXPECT_EQ(left.dropped, taken_.size() - 20);
  expect_books_add_up();
  EXPECT_FALSE(journal_->take_trouble().empty());
}

TEST_P(JournalDiskTest, what_is_dropped_from_memory_at_the_end_is_not_missed_later) {
  append_many(5);
  fake_.fail(Call::open);
  fake_.fail(Call::write);
  append_many(60);
  const Journal::Leftover left = journal_->finish();
  EXPECT_EQ(left.dropped + left.spooled, taken_.size());
  EXPECT_GT(left.dropped, 0U);
  EXPECT_EQ(journal_->given_up(10).front().count(), left.dropped);
}

TEST_P(JournalDiskTest, the_worker_does_not_spin_while_the_disk_refuses) {
  fake_.fail(Call::open);
  append_many(5);
  read_and_deliver();
  maintain();
  EXPECT_GT(journal_->maintain(now_), now_);
  append_many(5);
  maintain();
  EXPECT_GT(journal_->maintain(now_), now_);
  journal_->close();
  EXPECT_GT(journal_->maintain(now_ + seconds(5)), now_ + seconds(5));
}

TEST_P(JournalDiskTest, whichever_open_fails_only_what_is_in_memory_goes_with_the_process) {
  for (std::uint64_t after = 0; after < 40; ++after) {
    open();
    fake_.fail(Call::open, 1, EMFILE, after);
    for (int round = 0; round < 6; ++round) {
      append_many(10);
      maintain();
      read_and_deliver(4);
      expect_books_add_up();
    }
    fake_.fail(Call::open, 0);
    kill();
    const Recovered found = recover();
    // What was in memory and the last of all is gone with the process, and nobody knows of it.
    const std::uint64_t accounted = 24 + found.records.size() + found.missing;
    EXPECT_GE(accounted, found.records.back().sequence) << "open " << after;
    EXPECT_LE(accounted, taken_.size()) << "open " << after;
    EXPECT_GE(accounted + 20, taken_.size()) << "open " << after;
  }
}

TEST_P(JournalDiskTest, a_failed_sync_makes_the_segment_be_written_anew_and_never_synced_again) {
  open(Overflow::drop_newest, Durability::power);
  append_many(5);
  fake_.fail(Call::sync, 1);
  maintain();
  EXPECT_EQ(stats().durable, 5U);
  EXPECT_FALSE(journal_->take_trouble().empty());
  // Its file is another one now: what its memory maps must not be used again.
  append_many(3);
  read_and_deliver(5);
  maintain();
  append_many(40);
  kill();
  EXPECT_EQ(recover().records, taken_from(5));
}

TEST_P(JournalDiskTest, nothing_is_called_durable_while_syncs_fail) {
  open(Overflow::drop_newest, Durability::power);
  for (const Call call : {Call::sync, Call::sync_directory}) {
    const std::uint64_t before = stats().durable;
    fake_.fail(call);
    append_many(5);
    maintain();
    maintain();
    EXPECT_EQ(stats().durable, before);
    fake_.fail(call, 0);
    maintain();
    EXPECT_EQ(stats().durable, taken_.size());
  }
}

TEST_P(JournalDiskTest, a_damaged_cursor_slot_makes_nothing_seem_lost) {
  for (int round = 0; round < 5; ++round) {
    append_many(20);
    maintain();
    read_and_deliver(19);
    maintain();
  }
  kill();
  for (const std::uint64_t slot : {0, 1}) {
    fake_.flip_bit("/spool/" + id_ + "/cursor", slot * 4096 * 8);
    const Recovered found = recover();
    EXPECT_EQ(found.records.back(), taken_.back());
    EXPECT_EQ(found.missing, 0U) << slot;
    fake_.flip_bit("/spool/" + id_ + "/cursor", slot * 4096 * 8);
  }
}

TEST_P(JournalDiskTest, a_damaged_cursor_slot_makes_nothing_seem_lost_that_was_evicted) {
  open(Overflow::drop_oldest, Durability::process, 32 << 10);
  append_many(100);
  maintain();
  kill();
  for (const std::uint64_t slot : {0, 1}) {
    fake_.flip_bit("/spool/" + id_ + "/cursor", slot * 4096 * 8);
    EXPECT_EQ(recover().missing, 0U) << slot;
    fake_.flip_bit("/spool/" + id_ + "/cursor", slot * 4096 * 8);
  }
}

TEST_P(JournalDiskTest, damage_to_a_parked_segment_is_counted_as_such) {
  open_large();
  append_many(3'000, 3'000);
  maintain();
  fake_.flip_bit("/spool/" + id_ + "/0000000000000018.segment", (128 + 40) * 8);
  const auto records = read();
  EXPECT_EQ(records.size() + 1, taken_.size());
  EXPECT_EQ(stats().dropped_for(DropCause::damaged), 1U);
  testing::deliver(*journal_, records);
  expect_books_add_up();
}

INSTANTIATE_TEST_SUITE_P(Kinds, JournalDiskTest, ::testing::Values(kFakeMapped, kFakeWritten),
                         name_of);

}  // namespace
}  // namespace log_aggregator
