#include "src/journal/scan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "src/testing/fake_files.h"

namespace log_aggregator {
namespace {

using ::testing::ElementsAre;
using testing::FakeFiles;
using ::testing::IsEmpty;
using ::testing::SizeIs;

const SegmentId kId{.journal = {'u', 'u', 'i', 'd'}, .number = 3};
constexpr std::size_t kBytes = 4096;
constexpr std::size_t kFrame = 32 + 16;  // of the records below

class ScanTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto file = std::move(files_.open("/segment", Files::Open::to_create).value());
    ASSERT_TRUE(file->reserve(kBytes).ok());
    segment_ = Segment::create_mapped(std::move(file), kBytes);
    segment_->name(kId);
    ASSERT_TRUE(segment_->begin(11, 5).ok());
    for (const char* payload : {"{\"n\":\"eleven\"}", "{\"n\":\"twelve\"}", "{\"n\":\"3teen\"}"}) {
      append(payload);
    }
    bytes_ = files_.read_file("/segment");
  }

  void append(const std::string& payload) {
    ASSERT_TRUE(segment_->append({.sequence = segment_->last_sequence() + 1,
                                  .severity = 20,
                                  .time_ns = 0,
                                  .payload = payload}));
  }

  static std::size_t frame(std::size_t record) { return Segment::kFirstFrame + record * kFrame; }

  void scan(const SegmentId& id = kId) {
    found_.clear();
    damages_.clear();
    result_ = scan_segment(
        bytes_, id,
        [&](const RecordView& record, std::size_t) { found_.push_back(record.sequence); },
        [&](const Damage& damage) { damages_.push_back(damage); });
  }
  void damage(std::size_t offset) { bytes_[offset] = static_cast<char>(bytes_[offset] ^ 1); }

  FakeFiles files_;
  std::unique_ptr<Segment> segment_;
  std::string bytes_;
  ScanResult result_;
  std::vector<std::uint64_t> found_;
  std::vector<Damage> damages_;
};

TEST_F(ScanTest, finds_every_record_of_an_intact_segment) {
  scan();
  EXPECT_THAT(found_, ElementsAre(11, 12, 13));
  EXPECT_THAT(damages_, IsEmpty());
  EXPECT_TRUE(result_.header_valid);
  EXPECT_EQ(result_.first_sequence, 11U);
  EXPECT_EQ(result_.records, 3U);
  EXPECT_EQ(result_.last_known, 13U);
}

TEST_F(ScanTest, a_damaged_payload_costs_its_record_and_names_it) {
  damage(frame(1) + 32);
  scan();
  EXPECT_THAT(found_, ElementsAre(11, 13));
  ASSERT_THAT(damages_, SizeIs(1));
  EXPECT_EQ(damages_[0].offset, frame(1));
  EXPECT_EQ(damages_[0].bytes, kFrame);
  EXPECT_EQ(damages_[0].sequence, 12U);
}

TEST_F(ScanTest, a_damaged_frame_header_is_skipped_to_the_next) {
  damage(frame(1) + 8);
  scan();
  EXPECT_THAT(found_, ElementsAre(11, 13));
  ASSERT_THAT(damages_, SizeIs(1));
  EXPECT_EQ(damages_[0].offset, frame(1));
  EXPECT_EQ(damages_[0].bytes, kFrame);
  EXPECT_EQ(damages_[0].sequence, 0U);
}

TEST_F(ScanTest, a_damaged_last_frame_is_known_by_the_hint) {
  damage(frame(2) + 8);
  scan();
  EXPECT_THAT(found_, ElementsAre(11, 12));
  EXPECT_THAT(damages_, SizeIs(1));
  EXPECT_EQ(result_.last_known, 13U);
}

TEST_F(ScanTest, a_damaged_header_costs_nothing) {
  damage(40);
  scan();
  EXPECT_THAT(found_, ElementsAre(11, 12, 13));
  EXPECT_FALSE(result_.header_valid);
  EXPECT_EQ(result_.last_known, 13U);
}

TEST_F(ScanTest, a_damaged_hint_costs_nothing) {
  damage(64);
  scan();
  EXPECT_THAT(found_, ElementsAre(11, 12, 13));
  EXPECT_THAT(damages_, IsEmpty());
}

TEST_F(ScanTest, a_frame_behind_the_hint_is_a_record) {
  append("{\"n\":\"4teen!\"}");
  const std::string now = files_.read_file("/segment");
  bytes_ = now;
  bytes_.replace(64, 12, "without hint");
  scan();
  EXPECT_THAT(found_, ElementsAre(11, 12, 13, 14));
}

TEST_F(ScanTest, a_frame_whose_writer_died_at_it_is_no_damage) {
  const std::string hint = bytes_.substr(64, 12);
  append("{\"n\":\"4teen!\"}");
  bytes_ = files_.read_file("/segment");
  bytes_.replace(64, 12, hint);
  for (const std::size_t place : {frame(3) + 8, frame(3) + 32}) {
    const std::string before = bytes_;
    damage(place);
    scan();
    EXPECT_THAT(found_, ElementsAre(11, 12, 13));
    EXPECT_THAT(damages_, IsEmpty());
    EXPECT_EQ(result_.last_known, 13U);
    bytes_ = before;
  }
}

TEST_F(ScanTest, a_former_life_is_not_found) {
  scan({.journal = kId.journal, .number = 4});
  EXPECT_THAT(found_, IsEmpty());
  EXPECT_FALSE(result_.header_valid);
  EXPECT_EQ(result_.last_known, 0U);
  scan({.journal = {'o', 't', 'h', 'e', 'r'}, .number = 3});
  EXPECT_THAT(found_, IsEmpty());
}

TEST_F(ScanTest, compacting_keeps_what_is_above_a_number) {
  damage(frame(1) + 32);
  const Compacted left = compact_segment(bytes_.data(), bytes_.size(), kId, 11);
  EXPECT_EQ(left.end, Segment::kFirstFrame + kFrame);
  EXPECT_EQ(total(left.levels), 1U);
  EXPECT_EQ(left.found.ranges(), (std::vector<SequenceRange>{{11, 11}, {13, 13}}));
  EXPECT_EQ(bytes_.substr(Segment::kFirstFrame + 32, 13), "{\"n\":\"3teen\"}");
}

TEST_F(ScanTest, no_bytes_are_no_records) {
  for (const std::size_t bytes : {0, 1, 63, 64, 127, 128, 129}) {
    bytes_.assign(bytes, '\0');
    scan();
    EXPECT_THAT(found_, IsEmpty());
  }
}

}  // namespace
}  // namespace log_aggregator
