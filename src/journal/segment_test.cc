#include "src/journal/segment.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <string>

#include "src/base/crc32c.h"
#include "src/testing/fake_files.h"

namespace log_aggregator {
namespace {

using testing::FakeFiles;

constexpr std::size_t kBytes = 4096;

std::unique_ptr<Segment> segment_in(FakeFiles& files, bool mapped) {
  auto file = std::move(files.open("/segment", Files::Open::to_create).value());
  EXPECT_TRUE(!mapped || file->reserve(kBytes).ok());
  auto segment = mapped ? Segment::create_mapped(std::move(file), kBytes)
                        : Segment::create_written(std::move(file), kBytes);
  segment->name({.journal = {'j', 'o', 'u', 'r', 'n', 'a', 'l'}, .number = 5});
  return segment;
}

template <typename T>
T number_at(const std::string& bytes, std::size_t offset) {
  T value{};
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

// The numbers are those of docs/journal-format.md, which promises them to other readers.
TEST(SegmentTest, a_file_is_as_the_format_document_says) {
  for (const bool mapped : {true, false}) {
    FakeFiles files;
    auto segment = segment_in(files, mapped);
    ASSERT_TRUE(segment->begin(41, 1234).ok());
    ASSERT_TRUE(
        segment->append({.sequence = 41, .severity = 20, .time_ns = 77, .payload = "{\"a\":1}"}));
    ASSERT_TRUE(segment->append({.sequence = 42, .severity = -3, .time_ns = 78, .payload = ""}));
    const std::string file = files.read_file("/segment");
    const std::string uuid(file, 16, 16);
    const std::uint32_t seed = crc32c(file.substr(32, 8), crc32c(uuid));

    EXPECT_EQ(file.substr(0, 8), "LogASeg1");
    EXPECT_EQ(number_at<std::uint32_t>(file, 8), 1U);
    EXPECT_EQ(number_at<std::uint32_t>(file, 12), 128U);
    EXPECT_EQ(uuid.substr(0, 7), "journal");
    EXPECT_EQ(number_at<std::uint64_t>(file, 32), 5U);
    EXPECT_EQ(number_at<std::uint64_t>(file, 40), 41U);
    EXPECT_EQ(number_at<std::int64_t>(file, 48), 1234);
    EXPECT_EQ(number_at<std::uint32_t>(file, 56), 0U);
    EXPECT_EQ(number_at<std::uint32_t>(file, 60), crc32c(file.substr(0, 60)));
    EXPECT_EQ(number_at<std::uint32_t>(file, 64), 128U + 40 + 32);
    EXPECT_EQ(number_at<std::uint32_t>(file, 68), 2U);
    EXPECT_EQ(number_at<std::uint32_t>(file, 72), crc32c(file.substr(64, 8), seed));
    EXPECT_EQ(file.substr(76, 52), std::string(52, '\0'));

    EXPECT_EQ(number_at<std::uint32_t>(file, 128), 7U);
    EXPECT_EQ(number_at<std::int32_t>(file, 132), 20);
    EXPECT_EQ(number_at<std::uint64_t>(file, 136), 41U);
    EXPECT_EQ(number_at<std::int64_t>(file, 144), 77);
    EXPECT_EQ(number_at<std::uint32_t>(file, 152), crc32c("{\"a\":1}", seed));
    EXPECT_EQ(number_at<std::uint32_t>(file, 156), crc32c(file.substr(128, 28), seed));
    EXPECT_EQ(file.substr(160, 8), std::string("{\"a\":1}\0", 8));
    EXPECT_EQ(number_at<std::uint32_t>(file, 168), 0U);
    EXPECT_EQ(number_at<std::int32_t>(file, 172), -3);
    EXPECT_EQ(number_at<std::uint64_t>(file, 176), 42U);
  }
}

TEST(SegmentTest, what_does_not_fit_is_said_before) {
  auto segment = Segment::create_anonymous(kBytes);
  ASSERT_TRUE(segment->begin(1, 0).ok());
  const std::size_t most = segment->capacity() - Segment::kFirstFrame - Segment::frame_bytes(0);
  EXPECT_TRUE(segment->fits(most));
  EXPECT_FALSE(segment->fits(most + 1));
  ASSERT_TRUE(segment->append({.sequence = 1, .payload = std::string(most, 'x')}));
  EXPECT_FALSE(segment->fits(0));
}

TEST(SegmentTest, a_record_that_the_file_refuses_is_not_there) {
  FakeFiles files;
  auto segment = segment_in(files, false);
  ASSERT_TRUE(segment->begin(1, 0).ok());
  ASSERT_TRUE(segment->append({.sequence = 1, .payload = "first"}));
  files.fail(FakeFiles::Call::write, 1, ENOSPC);
  EXPECT_FALSE(segment->append({.sequence = 2, .payload = "second"}));
  EXPECT_EQ(segment->records(), 1U);
  EXPECT_EQ(segment->last_sequence(), 1U);
  RecordView record;
  std::size_t at = Segment::kFirstFrame;
  ASSERT_TRUE(segment->read(at, record, at));
  EXPECT_FALSE(segment->read(at, record, at));
}

TEST(SegmentTest, pages_that_could_not_be_synced_are_never_synced_again) {
  for (const bool mapped : {true, false}) {
    FakeFiles files;
    auto segment = segment_in(files, mapped);
    ASSERT_TRUE(segment->begin(1, 0).ok());
    files.fail(FakeFiles::Call::sync, 1);
    EXPECT_FALSE(segment->sync().ok());
    EXPECT_FALSE(segment->sync().ok());
    EXPECT_EQ(files.calls(FakeFiles::Call::sync), 1U);
    EXPECT_TRUE(segment->sync_failed());
  }
}

}  // namespace
}  // namespace log_aggregator
