#include "src/journal/orphan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "src/base/uuid.h"
#include "src/testing/fake_files.h"
#include "src/testing/spool_reader.h"

namespace log_aggregator {
namespace {

using ::testing::ElementsAre;
using testing::FakeFiles;
using ::testing::IsEmpty;
using testing::ReadRecord;
using ::testing::SizeIs;
using Call = FakeFiles::Call;

constexpr std::size_t kBytes = 4096;

std::string payload_of(std::uint64_t sequence) {
  return std::string("r").append(std::to_string(sequence));
}

class OrphanTest : public ::testing::Test {
 protected:
  // Four segments of three records each: 1-3, 4-6, 7-9, 10-12.
  void SetUp() override {
    ASSERT_TRUE(files_.make_directory("/root").ok());
    Spool spool(files_, "/root", id_);
    for (std::uint64_t number = 1; number <= 4; ++number) {
      auto segment = std::move(spool.create_segment(number, kBytes, true).value());
      ASSERT_TRUE(segment->begin(number * 3 - 2, 0).ok());
      for (std::uint64_t n = number * 3 - 2; n <= number * 3; ++n) {
        ASSERT_TRUE(segment->append(
            {.sequence = n, .severity = 20, .time_ns = 0, .payload = payload_of(n)}));
      }
    }
  }

  void write_cursor(std::uint64_t settled, const std::vector<SequenceRange>& given_up) {
    auto spool = std::move(Spool::adopt(files_, "/root", id_).value());
    spool->read_cursor();
    ASSERT_TRUE(spool->write_cursor(settled, given_up).ok());
  }

  void adopt() {
    orphan_.reset();
    orphan_ = std::move(Orphan::adopt(files_, "/root", id_).value());
  }
  std::vector<std::uint64_t> read() {
    std::vector<std::uint64_t> numbers;
    read_ = testing::read_all(*orphan_);
    for (const ReadRecord& record : read_) {
      EXPECT_EQ(record.payload, payload_of(record.sequence));
      numbers.push_back(record.sequence);
    }
    return numbers;
  }
  std::vector<std::uint64_t> adopt_and_read() {
    adopt();
    return read();
  }
  void deliver_through(std::uint64_t sequence) {
    Settlement settlement;
    for (const ReadRecord& record : read_) {
      if (record.sequence <= sequence) settle_one(settlement, record);
    }
    orphan_->settle(settlement);
  }
  const std::vector<SequenceRange>& missing() const { return orphan_->missing().ranges(); }

  std::string segment(int number) const {
    return "/root/" + id_ + "/000000000000000" + std::to_string(number) + ".segment";
  }
  void remove(int number) { ASSERT_TRUE(files_.remove(segment(number)).ok()); }
  // Of the nth record of that segment.
  void damage_payload(int number, int nth) {
    files_.flip_bit(segment(number), (128 + static_cast<std::uint64_t>(nth) * 40 + 32) * 8);
  }
  void damage_frame(int number, int nth) {
    files_.flip_bit(segment(number), (128 + static_cast<std::uint64_t>(nth) * 40 + 8) * 8);
  }

  FakeFiles files_;
  const std::string id_ = make_uuid();
  std::unique_ptr<Orphan> orphan_;
  std::vector<ReadRecord> read_;
};

TEST_F(OrphanTest, everything_is_read_in_order) {
  EXPECT_THAT(adopt_and_read(), ElementsAre(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12));
  EXPECT_THAT(missing(), IsEmpty());
  EXPECT_EQ(orphan_->id(), id_);
}

TEST_F(OrphanTest, what_was_settled_is_not_read_again) {
  write_cursor(5, {});
  EXPECT_THAT(adopt_and_read(), ElementsAre(6, 7, 8, 9, 10, 11, 12));
  EXPECT_THAT(missing(), IsEmpty());
  deliver_through(10);
  EXPECT_THAT(adopt_and_read(), ElementsAre(11, 12));
  EXPECT_THAT(missing(), IsEmpty());
}

TEST_F(OrphanTest, segments_are_removed_as_they_are_settled_and_the_rest_when_it_is_discarded) {
  adopt_and_read();
  deliver_through(6);
  EXPECT_THAT(files_.paths(), SizeIs(4));  // of them two segments
  deliver_through(12);
  orphan_->discard();
  EXPECT_THAT(files_.list("/root").value(), IsEmpty());
}

TEST_F(OrphanTest, segments_stay_where_the_cursor_cannot_be_written) {
  adopt_and_read();
  files_.fail(Call::write);
  deliver_through(12);
  files_.fail(Call::write, 0);
  EXPECT_THAT(adopt_and_read(), SizeIs(12));
  EXPECT_THAT(missing(), IsEmpty());
}

TEST_F(OrphanTest, a_damaged_cursor_slot_makes_nothing_seem_lost) {
  adopt_and_read();
  deliver_through(6);
  for (const std::uint64_t slot : {0, 1}) {
    files_.flip_bit("/root/" + id_ + "/cursor", slot * 4096 * 8);
    EXPECT_THAT(adopt_and_read(), ElementsAre(7, 8, 9, 10, 11, 12)) << slot;
    EXPECT_THAT(missing(), IsEmpty());
    files_.flip_bit("/root/" + id_ + "/cursor", slot * 4096 * 8);
  }
}

TEST_F(OrphanTest, the_first_segment_is_missed) {
  remove(1);
  EXPECT_THAT(adopt_and_read(), SizeIs(9));
  EXPECT_THAT(missing(), ElementsAre(SequenceRange{1, 3}));
}

TEST_F(OrphanTest, segments_in_the_middle_are_missed) {
  remove(2);
  remove(3);
  EXPECT_THAT(adopt_and_read(), ElementsAre(1, 2, 3, 10, 11, 12));
  EXPECT_THAT(missing(), ElementsAre(SequenceRange{4, 9}));
}

TEST_F(OrphanTest, the_last_segment_cannot_be_missed) {
  remove(4);
  EXPECT_THAT(adopt_and_read(), SizeIs(9));
  EXPECT_THAT(missing(), IsEmpty());
}

TEST_F(OrphanTest, what_was_given_up_is_not_missed) {
  write_cursor(0, {{4, 6}});
  remove(2);
  EXPECT_THAT(adopt_and_read(), SizeIs(9));
  EXPECT_THAT(missing(), IsEmpty());
  EXPECT_THAT(orphan_->given_up(10), ElementsAre(SequenceRange{4, 6}));
}

TEST_F(OrphanTest, what_was_given_up_is_not_missed_after_the_collector_knows_it) {
  write_cursor(0, {{4, 6}});
  remove(2);
  adopt();
  orphan_->given_up_acknowledged({{4, 6}});
  EXPECT_THAT(read(), SizeIs(9));
  EXPECT_THAT(missing(), IsEmpty());
  deliver_through(3);
  EXPECT_THAT(adopt_and_read(), SizeIs(6));
  EXPECT_THAT(missing(), IsEmpty());
  deliver_through(12);
  orphan_->given_up_acknowledged({{4, 6}});
  EXPECT_THAT(orphan_->given_up(10), IsEmpty());
}

TEST_F(OrphanTest, a_damaged_record_is_missed_and_no_other) {
  damage_payload(1, 1);
  damage_frame(2, 0);
  damage_payload(3, 2);
  damage_frame(4, 2);
  EXPECT_THAT(adopt_and_read(), ElementsAre(1, 3, 5, 6, 7, 8, 10, 11));
  EXPECT_THAT(missing(), ElementsAre(SequenceRange{2, 2}, SequenceRange{4, 4}, SequenceRange{9, 9},
                                     SequenceRange{12, 12}));
}

TEST_F(OrphanTest, damaged_headers_and_hints_cost_nothing) {
  for (const int number : {1, 2, 3, 4}) {
    files_.flip_bit(segment(number), 40 * 8);
    files_.flip_bit(segment(number), 64 * 8);
  }
  EXPECT_THAT(adopt_and_read(), SizeIs(12));
  EXPECT_THAT(missing(), IsEmpty());
}

TEST_F(OrphanTest, an_empty_segment_tells_what_came_before_it) {
  files_.truncate(segment(3), 128 + 40);
  files_.truncate(segment(4), 64);
  EXPECT_THAT(adopt_and_read(), ElementsAre(1, 2, 3, 4, 5, 6, 7));
  EXPECT_THAT(missing(), ElementsAre(SequenceRange{8, 9}));
  files_.truncate(segment(3), 0);
  EXPECT_THAT(adopt_and_read(), ElementsAre(1, 2, 3, 4, 5, 6));
  EXPECT_THAT(missing(), ElementsAre(SequenceRange{7, 9}));
}

TEST_F(OrphanTest, without_a_cursor_the_first_record_that_is_there_is_the_first) {
  remove(1);
  ASSERT_TRUE(files_.remove("/root/" + id_ + "/cursor").ok());
  EXPECT_THAT(adopt_and_read(), SizeIs(9));
  EXPECT_THAT(missing(), IsEmpty());
}

TEST_F(OrphanTest, a_segment_that_cannot_be_read_now_is_read_later) {
  adopt();
  files_.fail(Call::open, 2, EMFILE, 0);
  EXPECT_FALSE(orphan_->peek());
  EXPECT_TRUE(orphan_->stuck());
  EXPECT_FALSE(orphan_->peek());
  EXPECT_THAT(read(), SizeIs(12));
  EXPECT_FALSE(orphan_->stuck());
  EXPECT_THAT(missing(), IsEmpty());
}

TEST_F(OrphanTest, a_disk_that_cannot_be_read_at_all_loses_nothing) {
  adopt();
  files_.fail(Call::read);
  EXPECT_FALSE(orphan_->peek());
  EXPECT_TRUE(orphan_->stuck());
  files_.fail(Call::read, 0);
  EXPECT_THAT(read(), SizeIs(12));
}

TEST_F(OrphanTest, one_that_lives_is_no_orphan) {
  adopt();
  EXPECT_EQ(Orphan::adopt(files_, "/root", id_).status().code(), StatusCode::unavailable);
  Orphanage orphanage(files_, "/root");
  EXPECT_EQ(orphanage.next(), nullptr);
  orphan_.reset();
  EXPECT_NE(orphanage.next(), nullptr);
}

TEST_F(OrphanTest, an_orphanage_finds_each_of_several_and_nothing_else) {
  std::set<std::string> ids{id_};
  for (int i = 0; i < 3; ++i) {
    Spool other(files_, "/root", make_uuid());
    ASSERT_TRUE(other.create_segment(1, kBytes, true).ok());
    ids.insert(other.id());
  }
  ASSERT_TRUE(files_.make_directory("/root/backup").ok());
  files_.write_file("/root/notes", "");
  Orphanage orphanage(files_, "/root");
  std::vector<std::unique_ptr<Orphan>> found;
  while (auto orphan = orphanage.next()) {
    EXPECT_EQ(ids.erase(orphan->id()), 1U);
    found.push_back(std::move(orphan));
  }
  EXPECT_THAT(ids, IsEmpty());
}

}  // namespace
}  // namespace log_aggregator
