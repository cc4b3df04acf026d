#include "src/journal/journal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <deque>
#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "src/testing/seed.h"
#include "src/testing/temporary_directory.h"

namespace log_aggregator {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr int kInfo = 20;
constexpr int kWarning = 30;

// Where segments lie: everything the journal promises holds for each.
enum class Kind { memory, mapped_file, written_file };

std::string name_of(const ::testing::TestParamInfo<Kind>& info) {
  constexpr const char* kNames[] = {"memory", "mapped_file", "written_file"};
  return kNames[static_cast<int>(info.param)];
}

class JournalTest : public ::testing::TestWithParam<Kind> {
 protected:
  struct Read {
    std::uint64_t sequence;
    std::string payload;
  };

  void SetUp() override { open({}); }

  void open(Journal::Limits limits) {
    if (limits.capacity_bytes == 0) limits.capacity_bytes = 64 << 10;
    if (limits.segment_bytes == 0) limits.segment_bytes = 4 << 10;
    journal_ = std::make_unique<Journal>(limits, plan());
    under_way_.clear();
  }

  std::optional<Journal::SpoolPlan> plan() {
    if (GetParam() == Kind::memory) return std::nullopt;
    return Journal::SpoolPlan{.files = real_files(),
                              .root = directory_.path(),
                              .mapped = GetParam() == Kind::mapped_file,
                              .memory_bytes = 64 << 10,
                              .durability = Durability::process,
                              .sync_interval = milliseconds(0)};
  }

  Journal& journal() { return *journal_; }

  bool append(const std::string& payload, int severity = kInfo) {
    return journal_->append(severity, payload).taken;
  }
  // Appends until one is not taken and says how many were.
  int fill_up(std::size_t payload_bytes, int severity = kInfo) {
    int count = 0;
    while (append(std::string(payload_bytes, 'x'), severity)) ++count;
    return count;
  }

  // What the worker reads, up to `most` records. They are then under way.
  std::vector<std::string> read(std::size_t most = SIZE_MAX) {
    std::vector<std::string> payloads;
    while (payloads.size() < most) {
      const auto record = journal_->peek();
      if (!record) break;
      payloads.emplace_back(record->payload);
      under_way_.push_back(*record);
      journal_->advance();
    }
    journal_->unread();
    return payloads;
  }

  // In a file it wakes the worker, too, which makes the next one ready.
  void begin_first_segment() {
    append("first");
    deliver(read().size());
  }

  // The fate of the oldest records under way.
  void deliver(std::size_t count) { settle(count, std::nullopt); }
  void lose(std::size_t count, DropCause cause) { settle(count, cause); }

  Stats stats() const {
    Stats stats;
    journal_->fill(stats);
    return stats;
  }
  std::uint64_t dropped(DropCause cause) const { return stats().dropped_for(cause); }
  void expect_books_add_up() const {
    const Stats now = stats();
    EXPECT_EQ(now.accepted, now.delivered + now.pending + now.dropped_total());
  }

  std::deque<RecordView> under_way_;

 private:
  void settle(std::size_t count, std::optional<DropCause> cause) {
    Settlement settlement;
    SequenceRanges given_up;
    for (std::size_t i = 0; i < count; ++i) {
      const RecordView record = under_way_.front();
      under_way_.pop_front();
      settlement.through = record.sequence;
      const std::size_t level = drop_level(record.severity);
      ++settlement.records;
      settlement.bytes += record.payload.size();
      if (!cause) continue;
      ++settlement.dropped[static_cast<std::size_t>(*cause)][level];
      given_up.add({record.sequence, record.sequence});
    }
    settlement.given_up = given_up.ranges();
    journal_->settle(settlement);
    journal_->maintain(steady_clock::now());
  }

  testing::TemporaryDirectory directory_;
  std::unique_ptr<Journal> journal_;
};

TEST_P(JournalTest, records_are_read_in_the_order_they_were_appended) {
  append("a");
  append("b");
  append("c");
  EXPECT_THAT(read(), ElementsAre("a", "b", "c"));
  EXPECT_THAT(read(), IsEmpty());
  append("d");
  EXPECT_THAT(read(), ElementsAre("d"));
}

TEST_P(JournalTest, sequence_numbers_start_at_one_and_have_no_gaps) {
  EXPECT_EQ(journal().append(kInfo, "a").sequence, 1U);
  EXPECT_EQ(journal().append(kInfo, "b").sequence, 2U);
  read();
  EXPECT_EQ(under_way_[0].sequence, 1U);
  EXPECT_EQ(under_way_[1].sequence, 2U);
}

TEST_P(JournalTest, severity_and_an_empty_payload_are_kept) {
  append("", 41);
  read();
  EXPECT_EQ(under_way_[0].severity, 41);
  EXPECT_EQ(under_way_[0].payload, "");
}

TEST_P(JournalTest, order_holds_across_many_segments) {
  std::vector<std::string> written;
  for (int i = 0; i < 200; ++i) written.push_back(std::string(200, 'x') + std::to_string(i));
  for (const std::string& payload : written) ASSERT_TRUE(append(payload));
  EXPECT_EQ(read(), written);
}

TEST_P(JournalTest, unsettled_records_keep_their_bytes_while_others_come_and_go) {
  append("kept");
  read();
  const std::string_view view = under_way_[0].payload;
  for (int i = 0; i < 300; ++i) append(std::string(100, 'y'));
  EXPECT_EQ(view, "kept");
}

TEST_P(JournalTest, a_full_queue_drops_the_newest_and_counts_it) {
  const int taken = fill_up(1000);
  EXPECT_EQ(taken, 56) << "nine tenths of 64 KiB in frames of 1,040 bytes";
  EXPECT_EQ(dropped(DropCause::queue_full), 1U);
  EXPECT_THAT(read(), SizeIs(56));
  expect_books_add_up();
}

TEST_P(JournalTest, the_last_tenth_is_reserved_for_warnings_and_above) {
  fill_up(1000, kInfo);
  EXPECT_TRUE(append(std::string(1000, 'w'), kWarning));
  EXPECT_GE(fill_up(1000, kWarning), 5);
  EXPECT_FALSE(append(std::string(1000, 'i'), kInfo));
}

TEST_P(JournalTest, room_comes_back_when_records_are_settled) {
  fill_up(1000);
  read();
  EXPECT_FALSE(append(std::string(1000, 'x')));
  deliver(2);
  EXPECT_TRUE(append(std::string(1000, 'x')));
}

TEST_P(JournalTest, what_a_bounded_queue_holds_is_bounded_for_tiny_records_too) {
  EXPECT_LE(fill_up(0), (64 << 10) / 16);
}

TEST_P(JournalTest, a_record_larger_than_a_segment_has_one_of_its_own) {
  const std::string large(20'000, 'L');
  append("before");
  ASSERT_TRUE(append(large));
  append("after");
  EXPECT_THAT(read(), ElementsAre("before", large, "after"));
}

TEST_P(JournalTest, a_record_longer_than_half_the_queue_is_too_large_and_evicts_nobody) {
  open({.overflow = Overflow::drop_oldest});
  for (int i = 0; i < 40; ++i) append(std::string(1000, 'x'));
  EXPECT_FALSE(append(std::string(33'000, 'L')));
  EXPECT_EQ(dropped(DropCause::evicted), 0U);
  EXPECT_EQ(dropped(DropCause::too_large), 1U);
  EXPECT_THAT(read(), SizeIs(40));
  expect_books_add_up();
}

TEST_P(JournalTest, a_record_longer_than_half_the_queue_does_not_wait_for_room) {
  open({.overflow = Overflow::block, .block_timeout = std::chrono::hours(1)});
  EXPECT_FALSE(append(std::string(33'000, 'L')));
}

// ---- drop_oldest

TEST_P(JournalTest, drop_oldest_makes_room_by_whole_segments_and_counts_them) {
  open({.overflow = Overflow::drop_oldest});
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(append(std::string(960, 'x')));
  const std::uint64_t evicted = dropped(DropCause::evicted);
  EXPECT_GE(evicted, 41U);
  EXPECT_EQ(evicted % 4, 0U) << "four of these records fill a segment";
  const auto left = read();
  EXPECT_EQ(left.size(), 100 - evicted);
  EXPECT_EQ(under_way_.front().sequence, evicted + 1);
  EXPECT_EQ(under_way_.back().sequence, 100U);
  expect_books_add_up();
}

TEST_P(JournalTest, drop_oldest_never_evicts_what_is_under_way) {
  open({.overflow = Overflow::drop_oldest});
  append("first");
  for (int i = 0; i < 10; ++i) append(std::string(1000, 'x'));
  read(6);
  for (int i = 0; i < 100; ++i) append(std::string(1000, 'y'));
  EXPECT_GT(dropped(DropCause::evicted), 0U);
  EXPECT_EQ(under_way_[0].payload, "first");
  for (int i = 1; i < 6; ++i) EXPECT_EQ(under_way_[i].payload, std::string(1000, 'x'));
  read(1);
  EXPECT_EQ(under_way_.back().sequence, 7U) << "the rest of the segment that is read from stays";
}

TEST_P(JournalTest, drop_oldest_drops_the_newest_where_everything_is_under_way) {
  open({.overflow = Overflow::drop_oldest});
  for (int i = 0; i < 56; ++i) append(std::string(1000, 'x'));
  read();
  EXPECT_FALSE(append(std::string(1000, 'x')));
  EXPECT_EQ(dropped(DropCause::evicted), 0U);
  EXPECT_EQ(dropped(DropCause::queue_full), 1U);
}

TEST_P(JournalTest, records_behind_evicted_ones_settle_as_usual) {
  open({.overflow = Overflow::drop_oldest});
  append("first");
  read();
  for (int i = 0; i < 100; ++i) append(std::string(1000, 'y'));
  deliver(1);
  deliver(read().size());
  EXPECT_EQ(stats().pending, 0U);
  EXPECT_EQ(stats().pending_bytes, 0U);
  EXPECT_EQ(journal().settled_through(), 101U);
  expect_books_add_up();
}

// ---- block

TEST_P(JournalTest, block_gives_up_after_its_timeout_and_counts_it) {
  open({.overflow = Overflow::block, .block_timeout = milliseconds(20)});
  while (stats().pending_bytes < 56'000) append(std::string(1000, 'x'));
  const auto before = steady_clock::now();
  EXPECT_FALSE(append(std::string(1000, 'x')));
  EXPECT_GE(steady_clock::now() - before, milliseconds(20));
  EXPECT_EQ(dropped(DropCause::block_timeout), 1U);
  expect_books_add_up();
}

TEST_P(JournalTest, who_may_not_wait_is_told_and_nothing_is_counted) {
  open({.overflow = Overflow::block, .block_timeout = std::chrono::hours(1)});
  const std::string record(1000, 'x');
  while (journal().append(20, record, false).taken) {
  }
  EXPECT_TRUE(journal().append(20, record, false).would_wait);
  EXPECT_GE(stats().pending_bytes, 50'000U);
  EXPECT_EQ(total(stats().dropped), 0U);
  expect_books_add_up();
}

TEST_P(JournalTest, block_waits_for_room_and_loses_nothing) {
  open({.overflow = Overflow::block, .block_timeout = std::chrono::minutes(1)});
  constexpr int kRecords = 2000;
  const auto before = steady_clock::now();
  std::thread application([&] {
    for (int i = 0; i < kRecords; ++i) EXPECT_TRUE(append(std::string(6000, 'x')));
  });
  for (int left = kRecords; left > 0;) {
    const auto got = read();
    if (!got.empty()) deliver(got.size());
    left -= static_cast<int>(got.size());
  }
  application.join();
  EXPECT_EQ(stats().delivered, static_cast<std::uint64_t>(kRecords));
  EXPECT_LT(steady_clock::now() - before, std::chrono::seconds(30)) << "a wake was missed";
}

TEST_P(JournalTest, closing_ends_a_wait_for_room) {
  for (int round = 0; round < 50; ++round) {
    open({.overflow = Overflow::block, .block_timeout = std::chrono::hours(1)});
    while (stats().pending_bytes < 56'000) append(std::string(1000, 'x'));
    std::atomic<bool> begun{false};
    std::thread application([&] {
      begun = true;
      EXPECT_FALSE(append(std::string(1000, 'x')));
    });
    while (!begun) std::this_thread::yield();
    journal().close();
    application.join();
    EXPECT_EQ(dropped(DropCause::closed), 1U);
  }
}

// ---- the worker's side

TEST_P(JournalTest, after_close_every_append_is_dropped_as_closed) {
  append("before");
  journal().close();
  EXPECT_FALSE(append("after"));
  EXPECT_EQ(dropped(DropCause::closed), 1U);
  EXPECT_THAT(read(), ElementsAre("before"));
}

TEST_P(JournalTest, an_append_wakes_the_worker_once_when_enough_is_unread) {
  begin_first_segment();
  EXPECT_FALSE(journal().append(kInfo, "a").wake) << "nobody waits";
  EXPECT_FALSE(journal().wake_at(3, SIZE_MAX));
  EXPECT_FALSE(journal().append(kInfo, "b").wake);
  EXPECT_TRUE(journal().append(kInfo, "c").wake);
  EXPECT_FALSE(journal().append(kInfo, "d").wake) << "it is awake already";
}

TEST_P(JournalTest, an_append_wakes_the_worker_when_enough_bytes_are_unread) {
  begin_first_segment();
  EXPECT_FALSE(journal().wake_at(SIZE_MAX, 10));
  EXPECT_FALSE(journal().append(kInfo, "123456789").wake);
  EXPECT_TRUE(journal().append(kInfo, "0").wake);
}

TEST_P(JournalTest, the_worker_is_told_at_once_when_enough_is_unread_already) {
  append("a");
  append("b");
  EXPECT_TRUE(journal().wake_at(2, SIZE_MAX));
  EXPECT_FALSE(journal().append(kInfo, "c").wake) << "nothing was asked for";
}

TEST_P(JournalTest, what_was_read_no_longer_counts_as_unread) {
  append("aa");
  append("bb");
  read(1);
  const auto unread = journal().unread();
  EXPECT_EQ(unread.records, 1U);
  EXPECT_EQ(unread.bytes, 2U);
}

TEST_P(JournalTest, settling_tells_apart_what_was_delivered_and_what_was_dropped) {
  for (const char* payload : {"a", "b", "c", "d"}) append(payload);
  read();
  deliver(1);
  lose(2, DropCause::refused);
  EXPECT_EQ(stats().delivered, 1U);
  EXPECT_EQ(dropped(DropCause::refused), 2U);
  EXPECT_EQ(stats().pending, 1U);
  EXPECT_EQ(stats().pending_bytes, 1U);
  EXPECT_EQ(journal().settled_through(), 3U);
  expect_books_add_up();
}

TEST_P(JournalTest, a_mark_tells_losses_before_it_from_losses_behind_it) {
  append("a");
  const auto early = journal().mark();
  append("b");
  read();
  deliver(1);
  lose(1, DropCause::refused);
  EXPECT_FALSE(journal().lost_before(early));
  EXPECT_TRUE(journal().lost_before(journal().mark()));
}

TEST_P(JournalTest, a_record_is_known_to_be_lost_as_is_every_one_before_it) {
  for (const char* payload : {"a", "b", "c"}) append(payload);
  read();
  deliver(1);
  lose(1, DropCause::refused);
  deliver(1);
  EXPECT_TRUE(journal().lost_from(2));
  EXPECT_FALSE(journal().lost_from(3));
}

TEST_P(JournalTest, a_mark_knows_of_records_that_never_got_in) {
  journal().count_drop(DropCause::reentrant, kInfo);
  EXPECT_TRUE(journal().lost_before(journal().mark()));
}

TEST_P(JournalTest, finishing_drops_what_is_in_memory_and_leaves_what_is_spooled) {
  for (int i = 0; i < 20; ++i) append(std::string(1000, 'x'));
  read(10);
  deliver(5);
  const auto mark = journal().mark();
  journal().close();
  const auto [dropped_now, spooled] = journal().finish();
  const bool in_memory = GetParam() == Kind::memory;
  EXPECT_EQ(dropped_now, in_memory ? 15U : 0U);
  EXPECT_EQ(spooled, in_memory ? 0U : 15U);
  EXPECT_EQ(dropped(DropCause::closed), dropped_now);
  EXPECT_EQ(stats().pending, spooled);
  EXPECT_EQ(journal().settled_through(), 20U);
  EXPECT_TRUE(journal().lost_before(mark));
  expect_books_add_up();
}

// ---- memory

std::size_t address_space_bytes() {
  std::ifstream statm("/proc/self/statm");
  std::size_t pages = 0;
  statm >> pages;
  return pages * 4096;
}

TEST_P(JournalTest, memory_does_not_grow_from_fill_to_fill) {
  open({.capacity_bytes = 8 << 20, .segment_bytes = 1 << 20});
  const std::size_t before = address_space_bytes();
  for (int round = 0; round < 30; ++round) {
    fill_up(1000);
    deliver(read().size());
  }
  EXPECT_LT(address_space_bytes(), before + (24 << 20));
}

TEST_P(JournalTest, memory_does_not_grow_after_a_large_record_came_when_all_was_settled) {
  open({.capacity_bytes = 8 << 20, .segment_bytes = 1 << 20});
  append("small");
  deliver(read().size());
  append(std::string(2 << 20, 'L'));
  const std::size_t before = address_space_bytes();
  for (int round = 0; round < 30; ++round) {
    deliver(read().size());
    fill_up(1000);
  }
  EXPECT_LT(address_space_bytes(), before + (24 << 20));
}

TEST_P(JournalTest, the_memory_of_a_large_record_is_given_back) {
  open({.capacity_bytes = 256 << 20, .segment_bytes = 1 << 20});
  append("small");
  deliver(read().size());
  const std::string large(64 << 20, 'L');
  const std::size_t before = address_space_bytes();
  ASSERT_TRUE(append(large));
  EXPECT_GT(address_space_bytes(), before + (60 << 20));
  under_way_.push_back(journal().peek().value());
  journal().advance();
  deliver(1);
  EXPECT_LT(address_space_bytes(), before + (8 << 20));
  append("small");
  EXPECT_THAT(read(), ElementsAre("small"));
}

// ---- under chance

// Says what the journal must answer: every record it took and what became of it.
class JournalModelTest : public JournalTest {
 protected:
  void append_one() {
    const std::string payload =
        random_.bytes(random_.one_in(30) ? random_.below(9000) : random_.below(300));
    const int severity = random_.one_in(2) ? kInfo : kWarning;
    ++accepted_;
    const auto appended = journal().append(severity, payload);
    if (appended.taken) {
      EXPECT_EQ(appended.sequence, last_ + 1);
      payloads_[last_ = appended.sequence] = payload;
    }
  }

  void read_some() {
    const std::uint64_t before = under_way_.empty() ? settled_ : under_way_.back().sequence;
    const std::size_t known = under_way_.size();
    read(random_.below(40));
    std::uint64_t previous = before;
    for (std::size_t i = known; i < under_way_.size(); ++i) {
      ASSERT_GT(under_way_[i].sequence, previous);
      previous = under_way_[i].sequence;
    }
  }

  void settle_some() {
    if (under_way_.empty()) return;
    const std::size_t count = 1 + random_.below(under_way_.size());
    for (std::size_t i = 0; i < count; ++i) {
      const RecordView& record = under_way_[i];
      ASSERT_EQ(record.payload, payloads_[record.sequence]);
      settled_ = record.sequence;
    }
    if (random_.one_in(4)) {
      lose(count, DropCause::refused);
    } else {
      deliver(count);
    }
  }

  void check() {
    const Stats now = stats();
    ASSERT_EQ(now.accepted, accepted_);
    ASSERT_EQ(now.accepted, now.delivered + now.pending + now.dropped_total());
    ASSERT_GE(now.pending, under_way_.size());
    ASSERT_EQ(journal().settled_through(), settled_);
  }

  void run(int steps) {
    for (int i = 0; i < steps && !HasFatalFailure(); ++i) {
      switch (random_.below(8)) {
        case 0:
          read_some();
          break;
        case 1:
          settle_some();
          break;
        default:
          append_one();
      }
      check();
    }
    const std::uint64_t unread = stats().pending - under_way_.size();
    const std::size_t known = under_way_.size();
    read();
    EXPECT_EQ(under_way_.size() - known, unread);
  }

 private:
  testing::Random random_;
  std::map<std::uint64_t, std::string> payloads_;
  std::uint64_t last_ = 0;
  std::uint64_t settled_ = 0;
  std::uint64_t accepted_ = 0;
};

TEST_P(JournalModelTest, agrees_with_a_simple_model_when_dropping_the_newest) {
  open({.overflow = Overflow::drop_newest});
  run(20'000);
}

TEST_P(JournalModelTest, agrees_with_a_simple_model_when_dropping_the_oldest) {
  open({.overflow = Overflow::drop_oldest});
  run(20'000);
}

TEST_P(JournalModelTest, agrees_with_a_simple_model_when_blocking) {
  open({.overflow = Overflow::block, .block_timeout = milliseconds(0)});
  run(20'000);
}

// ---- threads

class JournalThreadsTest : public JournalTest {
 protected:
  static constexpr int kThreads = 8;
  static constexpr int kRecords = 5'000;

  // Each thread appends its numbers in order while this thread reads and settles. Returns, for each
  // thread, the numbers that were read.
  std::vector<std::vector<int>> append_while_reading() {
    std::vector<std::thread> threads;
    std::atomic<int> running{kThreads};
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        for (int i = 0; i < kRecords; ++i) append(std::to_string(t) + ':' + std::to_string(i));
        --running;
      });
    }
    std::vector<std::vector<int>> seen(kThreads);
    for (bool last = false; !last;) {
      last = running == 0;
      for (const std::string& payload : read()) {
        seen[payload[0] - '0'].push_back(std::stoi(payload.substr(2)));
        last = false;
      }
      if (!under_way_.empty()) deliver(under_way_.size());
      expect_books_add_up();
    }
    for (std::thread& thread : threads) thread.join();
    return seen;
  }
};

TEST_P(JournalThreadsTest, every_record_of_eight_threads_is_read_once_and_in_order) {
  open({.overflow = Overflow::block, .block_timeout = std::chrono::minutes(1)});
  for (const auto& numbers : append_while_reading()) {
    ASSERT_EQ(numbers.size(), static_cast<std::size_t>(kRecords));
    for (int i = 0; i < kRecords; ++i) ASSERT_EQ(numbers[i], i);
  }
  EXPECT_EQ(stats().delivered, std::uint64_t{kThreads} * kRecords);
}

TEST_P(JournalThreadsTest, what_eviction_leaves_of_eight_threads_is_in_order_and_counted) {
  open({.overflow = Overflow::drop_oldest});
  std::uint64_t read_count = 0;
  for (const auto& numbers : append_while_reading()) {
    EXPECT_TRUE(std::is_sorted(numbers.begin(), numbers.end(), std::less_equal<>()));
    read_count += numbers.size();
  }
  EXPECT_EQ(stats().accepted, std::uint64_t{kThreads} * kRecords);
  EXPECT_EQ(read_count + stats().dropped_total(), stats().accepted);
}

const auto kAllKinds = ::testing::Values(Kind::memory, Kind::mapped_file, Kind::written_file);
INSTANTIATE_TEST_SUITE_P(all, JournalTest, kAllKinds, name_of);
INSTANTIATE_TEST_SUITE_P(all, JournalModelTest, kAllKinds, name_of);
INSTANTIATE_TEST_SUITE_P(all, JournalThreadsTest, kAllKinds, name_of);

TEST(JournalKeptElsewhereTest, goes_on_with_the_numbers_and_has_none_for_the_handlers_own_records) {
  Journal journal({.capacity_bytes = 64 << 10, .segment_bytes = 4 << 10},
                  Journal::KeptElsewhere{.id = "a uuid", .settled_through = 41});
  EXPECT_EQ(journal.id(), "a uuid");
  EXPECT_TRUE(journal.outlives_process());
  EXPECT_EQ(journal.settled_through(), 41);
  EXPECT_EQ(journal.offer(kWarning, "a notice"), 0);
  EXPECT_EQ(journal.append(kInfo, "a record").sequence, 42);
  EXPECT_EQ(journal.peek()->sequence, 42);
}

}  // namespace
}  // namespace log_aggregator
