#include "src/base/files.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace log_aggregator {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;
using ::testing::UnorderedElementsAre;
using Open = Files::Open;

constexpr auto kNoGroup = static_cast<gid_t>(-1);  // for chown(2): as it is

// What the child returns, -1 where a signal has ended it. 1 is what a sanitizer ends it with.
int in_child(const std::function<int()>& child) {
  const pid_t id = ::fork();
  if (id == 0) ::_exit(child());
  int status = 0;
  while (::waitpid(id, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

bool is_mapped(const char* memory) { return ::msync(const_cast<char*>(memory), 1, MS_ASYNC) == 0; }

mode_t mode_of(const std::string& path) {
  struct stat about {};
  return ::lstat(path.c_str(), &about) == 0 ? about.st_mode & 07777 : 0;
}

std::string file_system_of(const std::string& path) {
  struct statfs about {};
  if (::statfs(path.c_str(), &about) != 0) return std::strerror(errno);
  std::ostringstream text;
  text << "0x" << std::hex << about.f_type;
  return text.str();
}

// A directory of its own for each test, gone with it.
class FilesTest : public ::testing::Test {
 protected:
  FilesTest() : directory(make_directory_below(fs::temp_directory_path())) {}
  ~FilesTest() override { fs::remove_all(directory); }

  static std::string make_directory_below(const fs::path& parent) {
    std::string path = parent / "files_test.XXXXXX";
    if (::mkdtemp(path.data()) == nullptr) throw std::runtime_error(path);
    return path;
  }

  std::string path(const std::string& name) const { return directory + "/" + name; }

  std::unique_ptr<File> open(const std::string& name, Open how = Open::to_write) {
    auto file = files.open(path(name), how);
    if (!file.ok()) throw std::runtime_error(file.status().message());
    return std::move(file).value();
  }
  std::unique_ptr<File> create(const std::string& name) { return open(name, Open::to_create); }

  std::string read(const std::string& name) {
    std::ostringstream text;
    text << std::ifstream(path(name)).rdbuf();
    return text.str();
  }

  const std::string directory;
  Files& files = real_files();
};

TEST_F(FilesTest, a_file_is_made_once_for_its_owner_only) {
  ::umask(0);
  create("a");
  ::umask(022);
  EXPECT_EQ(mode_of(path("a")), 0600U);
  EXPECT_EQ(files.open(path("a"), Open::to_create).status().message(), path("a") + ": File exists");
}

TEST_F(FilesTest, what_is_written_is_read_up_to_the_end) {
  auto file = create("a");
  ASSERT_TRUE(file->write(3, "text").ok());
  EXPECT_TRUE(file->sync().ok());
  EXPECT_EQ(*file->size(), 7U);
  std::array<char, 10> buffer{};
  EXPECT_EQ(*file->read(2, buffer.data(), buffer.size()), 5U);
  EXPECT_EQ(std::string_view(buffer.data(), 5), std::string_view("\0text", 5));
  EXPECT_EQ(*file->read(7, buffer.data(), buffer.size()), 0U);
  EXPECT_FALSE(open("a", Open::to_read)->write(0, "x").ok());
}

TEST_F(FilesTest, reserved_bytes_are_zeros_with_blocks_behind_them_and_what_was_there_stays) {
  auto file = create("a");
  ASSERT_TRUE(file->write(0, "text").ok());
  const Status status = file->reserve(1 << 20);
  if (!status.ok()) GTEST_SKIP() << status.message();
  EXPECT_EQ(*file->size(), 1U << 20);
  EXPECT_EQ(read("a"), "text" + std::string((1 << 20) - 4, '\0'));
  struct stat about {};
  ASSERT_EQ(::stat(path("a").c_str(), &about), 0);
  EXPECT_GE(about.st_blocks * 512, 1 << 20);
  ASSERT_TRUE(file->reserve(100).ok());
  EXPECT_EQ(*file->size(), 1U << 20);
}

TEST_F(FilesTest, a_mapping_is_shared_with_the_file_and_outlives_it) {
  auto file = create("a");
  ASSERT_TRUE(file->write(0, "before").ok());
  char* memory = file->map(6);
  ASSERT_NE(memory, nullptr);
  EXPECT_EQ(std::string_view(memory, 6), "before");
  auto other = open("a");
  file.reset();
  std::string_view("after!").copy(memory, 6);
  EXPECT_EQ(read("a"), "after!");
  other->unmap(memory, 6);
  EXPECT_FALSE(is_mapped(memory));
  EXPECT_EQ(open("a", Open::to_read)->map(6), nullptr);
}

TEST_F(FilesTest, what_is_not_there_is_not_found_and_named) {
  const auto is_not_found = [&](const Status& status) {
    return status.code() == StatusCode::not_found &&
           status.message() == path("none") + ": No such file or directory";
  };
  EXPECT_TRUE(is_not_found(files.open(path("none"), Open::to_read).status()));
  EXPECT_TRUE(is_not_found(files.open(path("none"), Open::to_write).status()));
  EXPECT_TRUE(is_not_found(files.rename(path("none"), path("a"))));
  EXPECT_TRUE(is_not_found(files.remove(path("none"))));
  EXPECT_TRUE(is_not_found(files.remove_directory(path("none"))));
  EXPECT_TRUE(is_not_found(files.list(path("none")).status()));
  EXPECT_TRUE(is_not_found(files.sync_directory(path("none"))));
  EXPECT_FALSE(files.keeps_reservations(path("none")));
}

TEST_F(FilesTest, errors_name_the_path_and_the_reason) {
  EXPECT_EQ(files.make_directory(directory).message(), directory + ": File exists");
  EXPECT_EQ(files.remove(directory).message(), directory + ": Is a directory");
  create("a");
  EXPECT_EQ(files.list(path("a")).status().message(), path("a") + ": Not a directory");
  EXPECT_EQ(files.remove_directory(directory).message(), directory + ": Directory not empty");
  EXPECT_EQ(open("a", Open::to_read)->write(0, "x").message(), path("a") + ": Bad file descriptor");
}

TEST_F(FilesTest, a_symlink_in_the_last_place_is_refused) {
  create("a");
  fs::create_symlink(path("a"), path("link"));
  fs::create_symlink(path("none"), path("dangling"));
  EXPECT_THAT(files.open(path("link"), Open::to_read).status().message(), HasSubstr("link: "));
  EXPECT_FALSE(files.open(path("link"), Open::to_write).ok());
  EXPECT_FALSE(files.open(path("dangling"), Open::to_create).ok());
  EXPECT_FALSE(fs::exists(path("none")));
}

TEST_F(FilesTest, a_pipe_or_a_directory_is_no_file_and_does_not_stop_the_caller) {
  ASSERT_EQ(::mkfifo(path("pipe").c_str(), 0600), 0);
  EXPECT_EQ(files.open(path("pipe"), Open::to_read).status().message(),
            path("pipe") + ": not a plain file");
  EXPECT_FALSE(files.open(path("pipe"), Open::to_write).ok());
  EXPECT_FALSE(files.open(directory, Open::to_read).ok());
}

TEST_F(FilesTest, a_file_of_another_user_is_refused) {
  create("a");
  if (::chown(path("a").c_str(), ::geteuid() + 1, kNoGroup) != 0) {
    GTEST_SKIP() << "only root can give a file away";
  }
  EXPECT_EQ(files.open(path("a"), Open::to_write).status().message(),
            path("a") + ": belongs to another user");
  EXPECT_FALSE(files.open(path("a"), Open::to_read).ok());
}

TEST_F(FilesTest, a_directory_is_made_for_its_owner_only_and_passes_as_private) {
  ::umask(0);
  ASSERT_TRUE(files.make_directory(path("d")).ok());
  ::umask(022);
  EXPECT_EQ(mode_of(path("d")), 0700U);
  EXPECT_TRUE(files.check_private_directory(path("d")).ok());
  EXPECT_TRUE(files.check_private_directory(path("d/")).ok());
}

TEST_F(FilesTest, a_directory_that_others_may_write_in_is_not_private) {
  ASSERT_TRUE(files.make_directory(path("d")).ok());
  for (const mode_t mode : {0720U, 0702U, 01777U}) {
    ASSERT_EQ(::chmod(path("d").c_str(), mode), 0);
    const Status status = files.check_private_directory(path("d"));
    EXPECT_EQ(status.code(), StatusCode::invalid_argument);
    EXPECT_THAT(status.message(), StartsWith(path("d") + " can be written by others"));
  }
  ASSERT_EQ(::chmod(path("d").c_str(), 0755), 0);
  EXPECT_TRUE(files.check_private_directory(path("d")).ok());
}

TEST_F(FilesTest, a_symlink_to_a_directory_is_not_private_with_a_slash_at_its_end_neither) {
  ASSERT_TRUE(files.make_directory(path("d")).ok());
  fs::create_directory_symlink(path("d"), path("link"));
  for (const std::string name : {"link", "link/", "link//"}) {
    const Status status = files.check_private_directory(path(name));
    EXPECT_EQ(status.code(), StatusCode::invalid_argument);
    EXPECT_THAT(status.message(), HasSubstr("is a symlink")) << name;
  }
}

TEST_F(FilesTest, a_directory_of_another_user_is_not_private) {
  ASSERT_TRUE(files.make_directory(path("d")).ok());
  if (::chown(path("d").c_str(), ::geteuid() + 1, kNoGroup) != 0) {
    GTEST_SKIP() << "only root can give a directory away";
  }
  EXPECT_EQ(files.check_private_directory(path("d")).message(),
            path("d") + " belongs to another user");
}

TEST_F(FilesTest, what_is_no_directory_is_not_private) {
  create("a");
  EXPECT_EQ(files.check_private_directory(path("a")).code(), StatusCode::invalid_argument);
  EXPECT_EQ(files.check_private_directory(path("none")).code(), StatusCode::invalid_argument);
}

TEST_F(FilesTest, names_are_listed_renamed_over_others_and_removed) {
  ASSERT_TRUE(create("a")->write(0, "a").ok());
  create("b");
  ASSERT_TRUE(files.make_directory(path("d")).ok());
  EXPECT_THAT(*files.list(directory), UnorderedElementsAre("a", "b", "d"));
  ASSERT_TRUE(files.rename(path("a"), path("b")).ok());
  EXPECT_EQ(read("b"), "a");
  EXPECT_TRUE(files.sync_directory(directory).ok());
  EXPECT_TRUE(files.remove(path("b")).ok());
  EXPECT_TRUE(files.remove_directory(path("d")).ok());
  EXPECT_THAT(*files.list(directory), IsEmpty());
}

TEST_F(FilesTest, a_lock_has_one_holder_and_ends_with_its_file) {
  auto one = create("lock");
  auto two = open("lock");
  EXPECT_TRUE(one->try_lock());
  EXPECT_TRUE(one->try_lock());
  EXPECT_FALSE(two->try_lock());
  one.reset();
  EXPECT_TRUE(two->try_lock());
}

TEST_F(FilesTest, a_lock_is_kept_from_other_processes_and_ends_with_its_own) {
  auto file = create("lock");
  EXPECT_EQ(in_child([&] { return open("lock")->try_lock() ? 0 : 1; }), 0) << "and then it ends";
  ASSERT_TRUE(file->try_lock());
  EXPECT_EQ(in_child([&] { return open("lock")->try_lock() ? 0 : 2; }), 2);
}

TEST_F(FilesTest, a_child_that_closes_its_copy_leaves_the_parent_its_lock) {
  auto file = create("lock");
  ASSERT_TRUE(file->try_lock());
  EXPECT_EQ(in_child([&] {
              file->close_in_child();
              file.reset();
              return open("lock")->try_lock() ? 1 : 0;
            }),
            0);
  EXPECT_FALSE(open("lock")->try_lock());
}

TEST_F(FilesTest, a_child_that_has_closed_its_copy_does_not_keep_the_lock_of_a_dead_parent) {
  auto file = create("lock");
  ASSERT_TRUE(file->try_lock());
  std::array<int, 2> closed{};
  std::array<int, 2> finished{};
  ASSERT_EQ(::pipe(closed.data()), 0);
  ASSERT_EQ(::pipe(finished.data()), 0);
  char byte = 0;
  const pid_t child = ::fork();
  if (child == 0) {
    file->close_in_child();
    ::close(finished[1]);
    if (::write(closed[1], &byte, 1) != 1) ::_exit(1);
    ::_exit(::read(finished[0], &byte, 1) == 0 ? 0 : 1);
  }
  ASSERT_EQ(::read(closed[0], &byte, 1), 1);
  file.reset();
  EXPECT_TRUE(open("lock")->try_lock());
  for (const int end : {closed[0], closed[1], finished[0], finished[1]}) ::close(end);
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST_F(FilesTest, a_child_does_not_inherit_a_mapping) {
  auto file = create("a");
  ASSERT_TRUE(file->write(0, "text").ok());
  char* memory = file->map(4);
  ASSERT_TRUE(is_mapped(memory));
  EXPECT_EQ(in_child([&] { return is_mapped(memory) ? 1 : 0; }), 0);
  file->unmap(memory, 4);
}

TEST_F(FilesTest, a_program_that_is_started_inherits_no_descriptor) {
  auto file = create("a");
  const std::string holders = "! ls -l /proc/self/fd | grep -q " + path("a");
  EXPECT_EQ(std::system(holders.c_str()), 0);
}

TEST_F(FilesTest, a_file_that_grows_beyond_the_limit_is_an_error_and_no_signal) {
  auto file = create("a");
  ASSERT_TRUE(file->write(0, std::string(4096, 'x')).ok());
  const int answer = in_child([&] {
    constexpr rlimit kLimit{.rlim_cur = 4096, .rlim_max = 4096};
    if (::setrlimit(RLIMIT_FSIZE, &kLimit) != 0) return 1;
    if (file->write(4095, "xy").message() != path("a") + ": File too large") return 2;
    if (file->write(8192, "x").ok()) return 3;
    if (file->reserve(4097).message() != path("a") + ": File too large") return 4;
    if (!file->write(0, std::string(4096, 'y')).ok()) return 5;
    return 0;
  });
  EXPECT_EQ(answer, 0);
  EXPECT_EQ(read("a"), std::string(4096, 'y'));
}

TEST_F(FilesTest, a_limit_of_zero_does_not_end_the_process_that_asks_for_reservations) {
  const int answer = in_child([&] {
    constexpr rlimit kLimit{.rlim_cur = 0, .rlim_max = 0};
    if (::setrlimit(RLIMIT_FSIZE, &kLimit) != 0) return 2;
    return files.keeps_reservations(directory) ? 3 : 0;
  });
  EXPECT_EQ(answer, 0);
}

TEST_F(FilesTest, a_process_without_free_descriptors_gets_an_error) {
  create("a");
  const int answer = in_child([&] {
    constexpr rlimit kLimit{.rlim_cur = 0, .rlim_max = 0};
    if (::setrlimit(RLIMIT_NOFILE, &kLimit) != 0) return 1;
    if (files.open(path("a"), Open::to_read).status().message() !=
        path("a") + ": Too many open files") {
      return 2;
    }
    return files.list(directory).ok() || files.sync_directory(directory).ok() ? 3 : 0;
  });
  EXPECT_EQ(answer, 0);
}

// Where LOG_AGGREGATOR_TEST_KEEPS or _KEEPS_NOT name a directory of another file system, that is
// asked too: tests/reliability mounts some.
TEST_F(FilesTest, reservations_are_kept_on_file_systems_that_write_in_place) {
  if (file_system_of("/dev/shm") == "0x1021994") {
    const std::string shared_memory = make_directory_below("/dev/shm");
    EXPECT_TRUE(files.keeps_reservations(shared_memory));
    fs::remove_all(shared_memory);
  }
  if (file_system_of(directory) == "0xef53") {  // ext4's, or ext2's, which cannot reserve
    EXPECT_EQ(files.keeps_reservations(directory), create("a")->reserve(1).ok());
  }
  if (const char* named = std::getenv("LOG_AGGREGATOR_TEST_KEEPS")) {
    EXPECT_TRUE(files.keeps_reservations(named)) << file_system_of(named);
  }
}

TEST_F(FilesTest, reservations_are_not_kept_on_others) {
  EXPECT_FALSE(files.keeps_reservations("/proc"));
  if (const char* named = std::getenv("LOG_AGGREGATOR_TEST_KEEPS_NOT")) {
    EXPECT_FALSE(files.keeps_reservations(named)) << file_system_of(named);
  }
}

}  // namespace
}  // namespace log_aggregator
