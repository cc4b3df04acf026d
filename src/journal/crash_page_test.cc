#include "src/journal/crash_page.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include "src/testing/fake_files.h"
#include "src/testing/spool_reader.h"

namespace log_aggregator {
namespace {

using testing::FakeFiles;
using ::testing::IsEmpty;
using testing::ReadRecord;
using testing::Recovered;
using Call = FakeFiles::Call;

constexpr std::size_t kRecordBytes = 1000;

// With true, records are stored through a mapping, else by writing.
class CrashPageTest : public ::testing::TestWithParam<bool> {
 protected:
  CrashPageTest() { EXPECT_TRUE(files_.make_directory("/root").ok()); }

  Result<std::unique_ptr<CrashPage>> make() {
    return CrashPage::create(files_, "/root", GetParam(), kRecordBytes, 1);
  }

  // What the next process finds when this one has died; it takes it over and gives it back.
  Recovered die(std::unique_ptr<CrashPage> page) {
    const std::string id = page->id();
    files_.kill([&] { page.reset(); });
    return testing::recover(files_, "/root", id);
  }

  FakeFiles files_;
};

INSTANTIATE_TEST_SUITE_P(All, CrashPageTest, ::testing::Bool(),
                         [](const auto& about) { return about.param ? "mapped" : "written"; });

TEST_P(CrashPageTest, a_record_is_found_by_the_next_process_with_sequence_one) {
  auto page = std::move(make().value());
  EXPECT_TRUE(page->write(std::string(kRecordBytes, 'x'), 77));
  const Recovered found = die(std::move(page));
  ASSERT_TRUE(found.adopted);
  EXPECT_THAT(found.records,
              ::testing::ElementsAre(ReadRecord{1, 50, std::string(kRecordBytes, 'x')}));
  EXPECT_EQ(found.missing, 0U);
}

TEST_P(CrashPageTest, without_one_nothing_is_found_and_nothing_is_missing) {
  const Recovered found = die(std::move(make().value()));
  ASSERT_TRUE(found.adopted);
  EXPECT_THAT(found.records, IsEmpty());
  EXPECT_EQ(found.missing, 0U);
}

TEST_P(CrashPageTest, it_is_locked_while_its_process_lives) {
  const auto page = std::move(make().value());
  EXPECT_FALSE(testing::recover(files_, "/root", page->id()).adopted);
}

TEST_P(CrashPageTest, it_is_gone_with_its_owner_unless_a_record_was_written) {
  make().value().reset();
  EXPECT_THAT(files_.paths(), IsEmpty());
  auto page = std::move(make().value());
  const std::string id = page->id();
  EXPECT_TRUE(page->write("{}", 1));
  page.reset();
  EXPECT_EQ(testing::recover(files_, "/root", id).records.size(), 1U);
}

TEST_P(CrashPageTest, a_second_record_takes_the_place_of_the_first) {
  auto page = std::move(make().value());
  EXPECT_TRUE(page->write(std::string(kRecordBytes, 'x'), 77));
  EXPECT_TRUE(page->write("{}", 78));
  const Recovered found = die(std::move(page));
  EXPECT_THAT(found.records, ::testing::ElementsAre(ReadRecord{1, 50, "{}"}));
  EXPECT_EQ(found.missing, 0U);
}

TEST_P(CrashPageTest, a_record_that_was_forgotten_is_found_only_where_the_process_dies) {
  auto page = std::move(make().value());
  EXPECT_TRUE(page->write("{}", 77));
  page->forget();
  EXPECT_EQ(die(std::move(page)).records.size(), 1U);

  page = std::move(make().value());
  EXPECT_TRUE(page->write("{}", 77));
  page->forget();
  const std::string id = page->id();
  page.reset();
  EXPECT_FALSE(testing::recover(files_, "/root", id).adopted);
}

TEST_P(CrashPageTest, its_blocks_are_there_before_a_record_is) {
  const auto page = std::move(make().value());
  const auto paths = files_.paths();
  const auto segment = std::find_if(paths.begin(), paths.end(), [](const std::string& path) {
    return path.ends_with(".segment");
  });
  ASSERT_NE(segment, paths.end());
  EXPECT_GE(files_.open(*segment, Files::Open::to_read).value()->size().value(), kRecordBytes);
}

TEST_P(CrashPageTest, where_it_cannot_be_made_nothing_is_left) {
  for (const Call call : {Call::open, Call::write, Call::rename, Call::make_directory}) {
    files_.fail(call, 1);
    const auto page = make();
    EXPECT_FALSE(page.ok()) << static_cast<int>(call);
    EXPECT_THAT(files_.list("/root").value(), IsEmpty()) << static_cast<int>(call);
  }
}

TEST(WrittenCrashPageTest, a_full_disk_is_an_answer_and_leaves_nothing_to_deliver) {
  FakeFiles files;
  ASSERT_TRUE(files.make_directory("/root").ok());
  auto page = std::move(CrashPage::create(files, "/root", false, kRecordBytes, 1).value());
  files.fail(Call::write);
  EXPECT_FALSE(page->write("{}", 1));
  files.fail(Call::write, 0);
  const std::string id = page->id();
  files.kill([&] { page.reset(); });
  const Recovered found = testing::recover(files, "/root", id);
  EXPECT_THAT(found.records, IsEmpty());
  EXPECT_EQ(found.missing, 0U);
}

}  // namespace
}  // namespace log_aggregator
