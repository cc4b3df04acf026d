#include "src/testing/fake_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace log_aggregator::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;
using Call = FakeFiles::Call;
using Open = Files::Open;

constexpr std::size_t kPage = FakeFiles::kPageBytes;

class FakeFilesTest : public ::testing::Test {
 protected:
  FakeFilesTest() {
    EXPECT_TRUE(files.make_directory("/spool").ok());
    EXPECT_TRUE(files.sync_directory("/").ok());
  }

  std::unique_ptr<File> open(const std::string& path, Open how = Open::to_write) {
    auto file = files.open(path, how);
    if (!file.ok()) throw std::runtime_error(file.status().message());
    return std::move(file).value();
  }
  std::unique_ptr<File> create(const std::string& path) { return open(path, Open::to_create); }

  // One that a power cut leaves as it is.
  std::unique_ptr<File> create_durable(const std::string& path, std::string_view bytes) {
    auto file = create(path);
    EXPECT_TRUE(file->write(0, bytes).ok());
    EXPECT_TRUE(file->sync().ok());
    EXPECT_TRUE(files.sync_directory("/spool").ok());
    return file;
  }

  // What `look` finds after each of many power cuts, each in the state that `prepare` made.
  std::set<std::string> after_power_cuts(const std::function<void()>& prepare,
                                         const std::function<std::string()>& look) {
    std::set<std::string> seen;
    for (int i = 0; i < 400; ++i) {
      for (const std::string& path : files.paths()) EXPECT_TRUE(files.remove(path).ok());
      EXPECT_TRUE(files.sync_directory("/spool").ok());
      prepare();
      files.power_cut(random);
      seen.insert(look());
    }
    return seen;
  }

  std::string names() {
    std::string all;
    for (const std::string& path : files.paths()) {
      all += path.substr(7) + "=" + files.read_file(path) + " ";
    }
    return all;
  }

  Random random;
  FakeFiles files;
};

TEST_F(FakeFilesTest, a_file_is_made_once_written_and_read) {
  auto file = create("/spool/a");
  ASSERT_TRUE(file->write(3, "text").ok());
  EXPECT_EQ(*file->size(), 7U);
  std::string buffer(10, 'x');
  EXPECT_EQ(*open("/spool/a", Open::to_read)->read(2, buffer.data(), 10), 5U);
  EXPECT_EQ(buffer.substr(0, 5), std::string("\0text", 5));
  EXPECT_EQ(files.open("/spool/a", Open::to_create).status().message(), "/spool/a: File exists");
  EXPECT_EQ(files.open("/spool/b", Open::to_write).status().code(), StatusCode::not_found);
  EXPECT_EQ(files.open("/none/b", Open::to_create).status().code(), StatusCode::not_found);
  EXPECT_FALSE(open("/spool/a", Open::to_read)->write(0, "x").ok());
  EXPECT_EQ(open("/spool/a", Open::to_read)->map(kPage), nullptr);
}

TEST_F(FakeFilesTest, mappings_and_writes_of_every_open_of_a_file_are_the_same_bytes) {
  auto one = create("/spool/a");
  ASSERT_TRUE(one->reserve(2 * kPage).ok());
  char* memory = one->map(2 * kPage);
  ASSERT_NE(memory, nullptr);
  auto two = open("/spool/a");
  ASSERT_TRUE(two->write(kPage, "written").ok());
  EXPECT_STREQ(memory + kPage, "written");
  ASSERT_TRUE(two->reserve(100 * kPage).ok());
  char* other = two->map(2 * kPage);
  one.reset();  // a mapping needs its File only to be unmapped
  std::strcpy(memory, "mapped");
  EXPECT_STREQ(other, "mapped");
  EXPECT_EQ(files.read_file("/spool/a").substr(0, 6), "mapped");
  two->unmap(memory, 2 * kPage);
  two->unmap(other, 2 * kPage);
}

TEST_F(FakeFilesTest, names_are_listed_renamed_over_others_and_removed) {
  files.write_file("/spool/a", "a");
  files.write_file("/spool/b", "b");
  EXPECT_THAT(*files.list("/spool"), UnorderedElementsAre("a", "b"));
  ASSERT_TRUE(files.rename("/spool/a", "/spool/b").ok());
  EXPECT_EQ(files.read_file("/spool/b"), "a");
  EXPECT_THAT(files.paths(), ElementsAre("/spool/b"));
  EXPECT_FALSE(files.remove_directory("/spool").ok());
  EXPECT_TRUE(files.remove("/spool/b").ok());
  EXPECT_EQ(files.remove("/spool/b").code(), StatusCode::not_found);
  EXPECT_TRUE(files.remove_directory("/spool").ok());
  EXPECT_EQ(files.list("/spool").status().code(), StatusCode::not_found);
}

TEST_F(FakeFilesTest, only_a_directory_passes_for_a_private_directory) {
  files.write_file("/spool/a", "");
  EXPECT_TRUE(files.check_private_directory("/spool").ok());
  EXPECT_FALSE(files.check_private_directory("/spool/a").ok());
  EXPECT_FALSE(files.check_private_directory("/none").ok());
}

TEST_F(FakeFilesTest, a_lock_has_one_holder_and_ends_with_its_file) {
  auto one = create("/spool/lock");
  auto two = open("/spool/lock");
  EXPECT_TRUE(one->try_lock());
  EXPECT_TRUE(one->try_lock());
  EXPECT_FALSE(two->try_lock());
  one.reset();
  EXPECT_TRUE(two->try_lock());
  two->close_in_child();
  two.reset();
  EXPECT_FALSE(open("/spool/lock")->try_lock()) << "the parent has it still";
  files.kill();
  EXPECT_TRUE(open("/spool/lock")->try_lock());
}

TEST_F(FakeFilesTest, a_kill_keeps_all_that_was_written_and_what_is_written_afterwards_is_not) {
  auto file = create("/spool/a");
  ASSERT_TRUE(file->reserve(kPage).ok());
  char* memory = file->map(kPage);
  std::strcpy(memory, "last words");
  EXPECT_TRUE(file->try_lock());
  files.kill([&] {
    EXPECT_FALSE(files.remove("/spool/a").ok());
    EXPECT_FALSE(files.list("/spool").ok());
  });
  std::strcpy(memory, "a stranger");
  EXPECT_THAT(file->write(0, "x").message(), HasSubstr("dead"));
  EXPECT_FALSE(file->try_lock());
  EXPECT_EQ(file->map(kPage), nullptr);
  EXPECT_EQ(files.read_file("/spool/a").substr(0, 10), "last words");
  auto next = open("/spool/a");
  EXPECT_TRUE(next->try_lock());
  file->unmap(memory, kPage);
  file.reset();
  EXPECT_FALSE(open("/spool/a")->try_lock()) << "what the dead had does not release it";
}

TEST_F(FakeFilesTest, a_power_cut_loses_nothing_that_was_synced) {
  const std::string bytes = random.bytes(3 * kPage + 100);
  create_durable("/spool/a", bytes);
  for (int i = 0; i < 50; ++i) {
    files.power_cut(random);
    ASSERT_EQ(files.read_file("/spool/a"), bytes);
  }
}

TEST_F(FakeFilesTest, a_new_file_needs_its_directory_synced_and_its_data_a_sync_of_its_own) {
  const auto seen = after_power_cuts(
      [&] {
        auto synced = create("/spool/a");
        ASSERT_TRUE(synced->write(0, "A").ok());
        ASSERT_TRUE(synced->sync().ok());
        auto named = create("/spool/b");
        ASSERT_TRUE(files.sync_directory("/spool").ok());
        ASSERT_TRUE(named->write(0, "B").ok());
        ASSERT_TRUE(create("/spool/c")->sync().ok());
      },
      [&] { return names(); });
  EXPECT_EQ(seen,
            (std::set<std::string>{"a=A b= ", "a=A b=B ", std::string("a=A b=\0 ", 8),
                                   "a=A b= c= ", "a=A b=B c= ", std::string("a=A b=\0 c= ", 11)}));
}

TEST_F(FakeFilesTest, a_directory_whose_own_name_was_not_synced_takes_its_files_along) {
  std::set<std::vector<std::string>> seen;
  for (int i = 0; i < 100; ++i) {
    FakeFiles machine;
    ASSERT_TRUE(machine.make_directory("/spool").ok());
    ASSERT_TRUE(machine.open("/spool/a", Open::to_create).ok());
    ASSERT_TRUE(machine.sync_directory("/spool").ok());
    machine.power_cut(random);
    seen.insert(machine.paths());
  }
  EXPECT_THAT(seen, UnorderedElementsAre(IsEmpty(), ElementsAre("/spool/a")));
}

TEST_F(FakeFilesTest, a_power_cut_keeps_the_old_or_the_new_of_each_page_and_mixes_sectors) {
  const auto seen = after_power_cuts(
      [&] {
        auto file = create_durable("/spool/a", std::string(2 * kPage, '.'));
        char* memory = file->map(2 * kPage);
        std::memset(memory, 'x', 2 * kPage);
        file->unmap(memory, 2 * kPage);
      },
      [&] {
        const std::string bytes = files.read_file("/spool/a");
        std::string sectors;
        for (std::size_t i = 0; i < bytes.size(); i += FakeFiles::kSectorBytes) {
          const std::string sector = bytes.substr(i, FakeFiles::kSectorBytes);
          EXPECT_EQ(sector, std::string(FakeFiles::kSectorBytes, sector[0]));
          sectors += sector[0];
        }
        return sectors;
      });
  const std::string old_page(8, '.');
  const std::string new_page(8, 'x');
  EXPECT_TRUE(seen.contains(old_page + old_page));
  EXPECT_TRUE(seen.contains(old_page + new_page));
  EXPECT_TRUE(seen.contains(new_page + old_page));
  EXPECT_TRUE(seen.contains(new_page + new_page));
  EXPECT_GT(seen.size(), 20U) << "mixed ones";
}

TEST_F(FakeFilesTest, a_power_cut_keeps_an_old_a_new_or_a_size_between) {
  const auto seen = after_power_cuts(
      [&] {
        auto file = create_durable("/spool/a", "12");
        ASSERT_TRUE(file->write(2, "345").ok());
      },
      [&] { return files.read_file("/spool/a"); });
  EXPECT_TRUE(seen.contains("12"));
  EXPECT_TRUE(seen.contains("12345"));
  EXPECT_TRUE(seen.contains("123"));
  EXPECT_TRUE(seen.contains(std::string("12\0\0\0", 5)));
}

TEST_F(FakeFilesTest, an_unsynced_rename_leaves_the_old_the_new_or_both_names) {
  const auto seen = after_power_cuts(
      [&] {
        create_durable("/spool/a", "A");
        create_durable("/spool/b", "B");
        ASSERT_TRUE(files.rename("/spool/a", "/spool/b").ok());
      },
      [&] { return names(); });
  EXPECT_EQ(seen, (std::set<std::string>{"a=A b=B ", "b=A ", "a=A b=A "}));
}

TEST_F(FakeFilesTest, what_was_done_to_names_survives_in_any_order_that_is_possible) {
  const auto seen = after_power_cuts(
      [&] {
        create_durable("/spool/a", "A");
        create_durable("/spool/b", "B");
        ASSERT_TRUE(files.remove("/spool/b").ok());
        ASSERT_TRUE(files.rename("/spool/a", "/spool/c").ok());
        create("/spool/a");  // that it is there means that the rename is
      },
      [&] { return names(); });
  EXPECT_EQ(seen, (std::set<std::string>{"a=A b=B ", "b=B c=A ", "a=A b=B c=A ", "a= b=B c=A ",  //
                                         "a=A ", "c=A ", "a=A c=A ", "a= c=A "}));
}

TEST_F(FakeFilesTest, a_removed_file_is_gone_for_good_when_the_directory_is_synced) {
  create_durable("/spool/a", "A");
  ASSERT_TRUE(files.remove("/spool/a").ok());
  ASSERT_TRUE(files.sync_directory("/spool").ok());
  files.power_cut(random);
  EXPECT_THAT(files.paths(), IsEmpty());
}

TEST_F(FakeFilesTest, pages_of_a_failed_sync_are_lost_though_a_later_one_succeeds) {
  const std::string old_bytes(2 * kPage, '.');
  const std::string new_bytes(2 * kPage, 'x');
  auto file = create_durable("/spool/a", old_bytes);
  ASSERT_TRUE(file->write(0, new_bytes).ok());
  files.fail(Call::sync, 1);
  EXPECT_THAT(file->sync().message(), HasSubstr("Input/output error"));
  EXPECT_TRUE(file->write(kPage, new_bytes.substr(kPage)).ok()) << "and so dirty again";
  EXPECT_TRUE(file->sync().ok());
  files.kill();
  EXPECT_EQ(files.read_file("/spool/a"), new_bytes) << "the page cache has it";
  files.power_cut(random);
  EXPECT_EQ(files.read_file("/spool/a"), old_bytes.substr(kPage) + new_bytes.substr(kPage));
}

TEST_F(FakeFilesTest, pages_of_a_failed_sync_count_as_clean_and_so_nothing_writes_them) {
  const auto seen = after_power_cuts(
      [&] {
        auto file = create_durable("/spool/a", "old");
        ASSERT_TRUE(file->write(0, "new").ok());
        files.fail(Call::sync, 1);
        ASSERT_FALSE(file->sync().ok());
      },
      [&] { return files.read_file("/spool/a"); });
  EXPECT_THAT(seen, ElementsAre("old"));
}

TEST_F(FakeFilesTest, a_call_fails_as_often_as_it_was_said_with_the_error_that_was_said) {
  files.fail(Call::open, 2, EMFILE, 1);
  EXPECT_TRUE(files.open("/spool/a", Open::to_create).ok());
  EXPECT_EQ(files.open("/spool/b", Open::to_create).status().message(),
            "/spool/b: Too many open files");
  EXPECT_FALSE(files.open("/spool/b", Open::to_create).ok());
  EXPECT_TRUE(files.open("/spool/b", Open::to_create).ok());
  EXPECT_EQ(files.calls(Call::open), 4U);
}

TEST_F(FakeFilesTest, every_kind_of_call_can_fail_and_then_has_no_effect) {
  auto file = create("/spool/a");
  ASSERT_TRUE(file->reserve(10).ok());
  char byte = 0;
  const std::map<Call, std::function<bool()>> calls = {
      {Call::open, [&] { return files.open("/spool/b", Open::to_create).ok(); }},
      {Call::reserve, [&] { return file->reserve(20).ok(); }},
      {Call::read, [&] { return file->read(0, &byte, 1).ok(); }},
      {Call::write, [&] { return file->write(0, "x").ok(); }},
      {Call::sync, [&] { return file->sync().ok(); }},
      {Call::map, [&] { return file->map(10) != nullptr; }},
      {Call::lock, [&] { return file->try_lock(); }},
      {Call::rename, [&] { return files.rename("/spool/a", "/spool/c").ok(); }},
      {Call::remove, [&] { return files.remove("/spool/a").ok(); }},
      {Call::make_directory, [&] { return files.make_directory("/spool/d").ok(); }},
      {Call::remove_directory, [&] { return files.remove_directory("/empty").ok(); }},
      {Call::list, [&] { return files.list("/spool").ok(); }},
      {Call::sync_directory, [&] { return files.sync_directory("/spool").ok(); }},
  };
  ASSERT_TRUE(files.make_directory("/empty").ok());
  for (const auto& [call, does] : calls) files.fail(call);
  for (const auto& [call, does] : calls) EXPECT_FALSE(does()) << static_cast<int>(call);
  for (const auto& [call, does] : calls) files.fail(call, 0);
  EXPECT_EQ(files.read_file("/spool/a"), std::string(10, '\0'));
  EXPECT_THAT(*files.list("/spool"), ElementsAre("a"));
  EXPECT_THAT(*files.list("/"), ElementsAre("empty", "spool"));
  EXPECT_TRUE(open("/spool/a")->try_lock());
}

TEST_F(FakeFilesTest, a_full_disk_takes_what_fits_and_more_when_it_is_mended) {
  files.set_capacity(3 * kPage + 100);
  auto one = create("/spool/a");
  EXPECT_TRUE(one->reserve(2 * kPage).ok());
  auto two = create("/spool/b");
  EXPECT_EQ(two->write(0, std::string(2 * kPage, 'x')).message(),
            "/spool/b: No space left on device");
  EXPECT_EQ(*two->size(), kPage);
  EXPECT_TRUE(one->write(0, std::string(2 * kPage, 'x')).ok()) << "reserved";
  EXPECT_FALSE(one->reserve(2 * kPage + 1).ok());
  EXPECT_EQ(files.used_bytes(), 3 * kPage);

  ASSERT_TRUE(files.remove("/spool/a").ok());
  EXPECT_FALSE(two->reserve(2 * kPage).ok()) << "it is open still";
  one.reset();
  EXPECT_TRUE(two->reserve(2 * kPage).ok());
  EXPECT_FALSE(two->reserve(4 * kPage).ok());
  files.set_capacity(4 * kPage);
  EXPECT_TRUE(two->reserve(4 * kPage).ok());
}

TEST_F(FakeFilesTest, it_keeps_reservations_as_the_test_says) {
  EXPECT_TRUE(files.keeps_reservations("/spool"));
  files.set_keeps_reservations(false);
  EXPECT_FALSE(files.keeps_reservations("/spool"));
}

TEST_F(FakeFilesTest, what_the_test_does_to_a_file_is_on_the_disk_and_in_the_mappings) {
  auto file = create("/spool/a");
  files.write_file("/spool/a", "abcd");
  char* memory = file->map(kPage);
  files.flip_bit("/spool/a", 8);
  EXPECT_STREQ(memory, "accd");
  files.truncate("/spool/a", 3);
  files.power_cut(random);
  EXPECT_EQ(files.read_file("/spool/a"), "acc");
  file->unmap(memory, kPage);
  EXPECT_THROW(files.flip_bit("/spool/a", 24), std::out_of_range);
  EXPECT_THROW(files.read_file("/spool/b"), std::out_of_range);
  EXPECT_THROW(files.write_file("/none/b", ""), std::out_of_range);
}

TEST_F(FakeFilesTest, one_thread_may_append_through_a_mapping_while_another_one_syncs) {
  constexpr std::size_t kBytes = 64 * kPage;
  auto file = create_durable("/spool/a", "");
  ASSERT_TRUE(file->reserve(kBytes).ok());
  char* memory = file->map(kBytes);
  std::atomic<std::size_t> appended = 0;
  std::thread appender([&] {
    while (appended < kBytes) {
      std::memset(memory + appended, 'x', FakeFiles::kSectorBytes);
      appended += FakeFiles::kSectorBytes;
    }
  });
  std::size_t durable = 0;
  while (durable < kBytes) {
    const std::size_t before = appended;
    ASSERT_TRUE(file->sync().ok());
    durable = before;
  }
  appender.join();
  files.power_cut(random, [&] { file->unmap(memory, kBytes); });
  EXPECT_EQ(files.read_file("/spool/a"), std::string(kBytes, 'x'));
}

}  // namespace
}  // namespace log_aggregator::testing
