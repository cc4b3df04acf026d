#include "src/journal/spool.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "src/base/uuid.h"
#include "src/testing/fake_files.h"

namespace log_aggregator {
namespace {

using ::testing::ElementsAre;
using testing::FakeFiles;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using Call = FakeFiles::Call;

constexpr std::size_t kBytes = 4096;

class SpoolTest : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(files_.make_directory("/root").ok()); }

  // A journal with one segment.
  void make() {
    spool_ = std::make_unique<Spool>(files_, "/root", id_);
    ASSERT_TRUE(spool_->create_segment(1, kBytes, true).ok());
  }
  // Its process ends.
  void leave() { spool_.reset(); }
  Status adopt() {
    auto adopted = Spool::adopt(files_, "/root", id_);
    if (!adopted.ok()) return adopted.status();
    spool_ = std::move(*adopted);
    return {};
  }
  std::string path(const std::string& name) const { return "/root/" + id_ + "/" + name; }
  void damage_slot(std::uint64_t slot) { files_.flip_bit(path("cursor"), slot * 4096 * 8 + 70); }

  FakeFiles files_;
  const std::string id_ = make_uuid();
  std::unique_ptr<Spool> spool_;
};

TEST_F(SpoolTest, nothing_is_made_before_the_first_segment) {
  const Spool spool(files_, "/root", id_);
  EXPECT_FALSE(spool.is_open());
  EXPECT_THAT(files_.list("/root").value(), IsEmpty());
}

TEST_F(SpoolTest, a_journal_is_locked_as_long_as_its_owner_lives) {
  make();
  EXPECT_EQ(Spool::adopt(files_, "/root", id_).status().code(), StatusCode::unavailable);
  leave();
  EXPECT_TRUE(adopt().ok());
  EXPECT_EQ(spool_->segment_numbers().value(), std::vector<std::uint64_t>{1});
  EXPECT_EQ(Spool::adopt(files_, "/root", id_).status().code(), StatusCode::unavailable);
}

TEST_F(SpoolTest, what_dies_before_it_has_a_name_is_no_journal) {
  files_.fail(Call::rename);
  files_.fail(Call::remove);
  files_.fail(Call::remove_directory);
  Spool spool(files_, "/root", id_);
  EXPECT_FALSE(spool.create_segment(1, kBytes, true).ok());
  EXPECT_THAT(files_.list("/root").value(), ElementsAre(id_ + ".new"));
  EXPECT_THAT(journals_in(files_, "/root").value(), IsEmpty());
  for (const Call call : {Call::rename, Call::remove, Call::remove_directory}) files_.fail(call, 0);
  EXPECT_TRUE(spool.create_segment(1, kBytes, true).ok());
  EXPECT_THAT(journals_in(files_, "/root").value(), ElementsAre(id_));
}

TEST_F(SpoolTest, whatever_fails_while_it_is_opened_it_can_be_opened_later) {
  for (const Call call : {Call::open, Call::lock, Call::write, Call::rename, Call::make_directory,
                          Call::reserve, Call::map}) {
    for (std::uint64_t after = 0;; ++after) {
      FakeFiles files;
      ASSERT_TRUE(files.make_directory("/root").ok());
      Spool spool(files, "/root", id_);
      files.fail(call, 1, EMFILE, after);
      const bool made = spool.create_segment(1, kBytes, true).ok();
      EXPECT_TRUE(made || spool.create_segment(1, kBytes, true).ok());
      EXPECT_EQ(files.list("/root").value(), std::vector<std::string>{id_});
      if (files.calls(call) <= after) break;
      ASSERT_LT(after, 20U);
    }
  }
}

TEST_F(SpoolTest, a_directory_without_a_lock_is_no_journal_and_is_removed_where_it_is_empty) {
  ASSERT_TRUE(files_.make_directory("/root/" + id_).ok());
  EXPECT_EQ(adopt().code(), StatusCode::not_found);
  EXPECT_THAT(files_.list("/root").value(), IsEmpty());
  EXPECT_EQ(adopt().code(), StatusCode::not_found);
}

TEST_F(SpoolTest, the_cursor_of_a_new_journal_says_that_nothing_is_settled) {
  make();
  leave();
  ASSERT_TRUE(adopt().ok());
  const Cursor cursor = spool_->read_cursor();
  EXPECT_EQ(cursor.generation, 1U);
  EXPECT_EQ(cursor.settled_through, 0U);
}

TEST_F(SpoolTest, the_newest_cursor_counts) {
  make();
  for (std::uint64_t n = 10; n <= 15; ++n) {
    ASSERT_TRUE(spool_->write_cursor(n, {{n + 2, n + 3}}).ok());
    EXPECT_EQ(spool_->read_cursor().settled_through, n);
  }
  leave();
  ASSERT_TRUE(adopt().ok());
  const Cursor cursor = spool_->read_cursor();
  EXPECT_EQ(cursor.settled_through, 15U);
  EXPECT_THAT(cursor.given_up, ElementsAre(SequenceRange{17, 18}));
}

TEST_F(SpoolTest, the_older_cursor_counts_where_the_newest_is_damaged_and_none_where_both_are) {
  make();
  ASSERT_TRUE(spool_->write_cursor(10, {}).ok());
  ASSERT_TRUE(spool_->write_cursor(11, {}).ok());
  const std::uint64_t newest = spool_->read_cursor().generation % 2;
  damage_slot(newest);
  EXPECT_EQ(spool_->read_cursor().settled_through, 10U);
  damage_slot(1 - newest);
  EXPECT_EQ(spool_->read_cursor().generation, 0U);
  EXPECT_EQ(spool_->read_cursor().settled_through, 0U);
}

TEST_F(SpoolTest, a_cursor_that_could_not_be_written_leaves_the_good_one_alone) {
  make();
  ASSERT_TRUE(spool_->write_cursor(10, {}).ok());
  const std::uint64_t good = spool_->read_cursor().generation % 2;
  files_.fail(Call::write, 1);
  EXPECT_FALSE(spool_->write_cursor(11, {}).ok());
  ASSERT_TRUE(spool_->write_cursor(12, {}).ok());
  damage_slot(1 - good);
  EXPECT_EQ(spool_->read_cursor().settled_through, 10U);
}

TEST_F(SpoolTest, a_list_that_is_too_long_is_cut) {
  make();
  std::vector<SequenceRange> ranges;
  for (std::uint64_t n = 1; n <= 300; ++n) ranges.push_back({2 * n, 2 * n});
  ASSERT_TRUE(spool_->write_cursor(1, ranges).ok());
  EXPECT_THAT(spool_->read_cursor().given_up, SizeIs(kMaxRangesInCursor));
}

TEST_F(SpoolTest, discarding_leaves_nothing_but_the_files_of_others) {
  make();
  files_.write_file(path("0000000000000009.segment.new"), "half written");
  spool_->discard();
  EXPECT_THAT(files_.list("/root").value(), IsEmpty());
  EXPECT_FALSE(spool_->is_open());
  make();
  files_.write_file(path("notes.txt"), "of somebody else");
  spool_->discard();
  EXPECT_THAT(files_.paths(), ElementsAre(path("notes.txt")));
}

TEST_F(SpoolTest, a_segment_that_cannot_be_removed_keeps_its_cursor_and_its_lock) {
  make();
  ASSERT_TRUE(spool_->write_cursor(7, {}).ok());
  files_.fail(Call::remove, 1);
  spool_->discard();
  ASSERT_TRUE(adopt().ok());
  EXPECT_EQ(spool_->read_cursor().settled_through, 7U);
  spool_->discard();
  EXPECT_THAT(files_.list("/root").value(), IsEmpty());
}

TEST_F(SpoolTest, only_names_of_segments_are_segments) {
  make();
  for (const char* name : {"1.segment", "000000000000000g.segment", "0000000000000002.segment.new",
                           "0000000000000003", "notes"}) {
    files_.write_file(path(name), "");
  }
  files_.write_file(path("00000000000000ff.segment"), "");
  EXPECT_THAT(spool_->segment_numbers().value(), ElementsAre(1, 255));
}

TEST_F(SpoolTest, a_segment_is_loaded_into_memory_that_is_large_enough) {
  make();
  const std::string bytes(2 * 4096, 'x');
  files_.write_file(path("0000000000000002.segment"), bytes);
  for (const std::size_t size : {bytes.size(), bytes.size() + 1, 4 * bytes.size()}) {
    const auto file = spool_->load_segment(2, SegmentMemory::anonymous(size));
    ASSERT_TRUE(file.ok());
    EXPECT_GT(file->memory.size(), file->bytes);
    EXPECT_EQ(std::string(file->memory.data(), file->bytes), bytes);
  }
}

TEST_F(SpoolTest, a_segment_that_cannot_be_opened_again_is_not_left_under_its_new_number) {
  make();
  files_.fail(Call::reserve);
  EXPECT_FALSE(spool_->reopen_segment(1, 2, kBytes, true).ok());
  files_.fail(Call::reserve, 0);
  EXPECT_THAT(spool_->segment_numbers().value(), IsEmpty());
  EXPECT_FALSE(spool_->reopen_segment(1, 2, kBytes, true).ok());
}

TEST_F(SpoolTest, a_bad_place_on_the_disk_costs_what_lies_there) {
  make();
  files_.write_file(path("0000000000000002.segment"), std::string(3 * 4096, 'x'));
  files_.fail(Call::read, 2);  // the whole, and its first piece
  SegmentMemory used = SegmentMemory::anonymous(3 * 4096 + 1);
  std::memset(used.data(), 'y', used.size());
  const char* const place = used.data();
  const auto file = spool_->load_segment(2, std::move(used));
  ASSERT_TRUE(file.ok());
  EXPECT_EQ(file->memory.data(), place);
  EXPECT_EQ(file->bytes, 3U * 4096);
  EXPECT_EQ(std::string(file->memory.data(), file->bytes),
            std::string(4096, '\0') + std::string(2 * 4096, 'x'));
  files_.fail(Call::read);
  EXPECT_EQ(spool_->load_segment(2).status().code(), StatusCode::unavailable);
}

}  // namespace
}  // namespace log_aggregator
