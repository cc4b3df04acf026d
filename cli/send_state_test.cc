#include "cli/send_state.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "src/testing/temporary_directory.h"

namespace log_aggregator::cli {
namespace {

constexpr const char* kEndpoint = "http://127.0.0.1:8080/api/logs";
constexpr const char* kFile = "/var/log/access.log";

class SendStateTest : public ::testing::Test {
 protected:
  std::unique_ptr<SendStateFile> open(const char* endpoint = kEndpoint, const char* file = kFile) {
    auto opened = SendStateFile::open(directory_.path(), endpoint, file);
    EXPECT_TRUE(opened.ok()) << opened.status().message();
    return opened.ok() ? std::move(*opened) : nullptr;
  }

  std::filesystem::path only_state() const {
    std::filesystem::path found;
    for (const auto& entry : std::filesystem::directory_iterator(directory_.path())) {
      if (entry.path().extension() == ".json") found = entry.path();
    }
    return found;
  }

  const testing::TemporaryDirectory directory_;
  const SendState state_{.journal = "6f1c0f6e-0b57-4c39-9f5b-7f0f3a6d2c11",
                         .format = InputFormat::array,
                         .end = 1,
                         .head = {2, 3},
                         .place = {4, 5},
                         .before = {6, 4'294'967'295},
                         .records = 7,
                         .refused = 8,
                         .bad = 9};
};

TEST_F(SendStateTest, what_was_saved_is_loaded) {
  EXPECT_FALSE(open()->load()->has_value());
  ASSERT_TRUE(open()->save(state_).ok());
  EXPECT_EQ(**open()->load(), state_);
}

TEST_F(SendStateTest, saving_goes_on_where_a_process_was_killed_in_the_middle_of_it) {
  ASSERT_TRUE(open()->save(state_).ok());
  std::ofstream(only_state().string() + ".new") << "{\"half";
  EXPECT_EQ(**open()->load(), state_);
  ASSERT_TRUE(open()->save(state_).ok());
}

TEST_F(SendStateTest, each_file_and_endpoint_has_its_own) {
  ASSERT_TRUE(open()->save(state_).ok());
  EXPECT_FALSE(open("http://other/api/logs")->load()->has_value());
  EXPECT_FALSE(open(kEndpoint, "/var/log/other.log")->load()->has_value());
}

TEST_F(SendStateTest, one_at_a_time_has_it) {
  const auto first = open();
  const auto second = SendStateFile::open(directory_.path(), kEndpoint, kFile);
  EXPECT_EQ(second.status().code(), StatusCode::unavailable);
  EXPECT_TRUE(SendStateFile::open(directory_.path(), kEndpoint, "/other").ok());
}

TEST_F(SendStateTest, what_is_no_state_of_this_file_is_an_error_and_not_a_new_beginning) {
  ASSERT_TRUE(open()->save(state_).ok());
  std::string text;
  std::getline(std::ifstream(only_state()), text);
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string changed = text;
    return changed.replace(changed.find(from), from.size(), to);
  };
  for (const std::string& bad :
       {std::string(), text.substr(0, 80), std::string("[]"), with(kFile, "/var/log/collides"),
        with("array", "json"), with("6f1c", "XXXX"), with("\"end\":1", "\"end\":-1")}) {
    std::ofstream(only_state()) << bad;
    EXPECT_FALSE(open()->load().ok()) << bad;
  }
}

TEST_F(SendStateTest, a_directory_that_others_may_write_in_is_refused) {
  std::filesystem::permissions(directory_.path(), std::filesystem::perms::all);
  EXPECT_FALSE(SendStateFile::open(directory_.path(), kEndpoint, kFile).ok());
}

// ---- is_same_file

class SameFileTest : public ::testing::Test {
 protected:
  void write(const std::string& content) {
    std::ofstream(path_, std::ios::trunc) << content;
    size_ = content.size();
  }

  bool is_same(const SendState& state) const {
    const int descriptor = ::open(path_.c_str(), O_RDONLY);
    const auto same = is_same_file(state, descriptor, size_);
    ::close(descriptor);
    return same.ok() && *same;
  }

  // Of the file as it is, acknowledged up to there.
  SendState known_at(std::uint64_t offset) const {
    const int descriptor = ::open(path_.c_str(), O_RDONLY);
    const SendState state{.journal = "",
                          .end = size_,
                          .head = *fingerprint_head(descriptor, size_),
                          .place = {offset, 1},
                          .before = *fingerprint_before(descriptor, offset)};
    ::close(descriptor);
    return state;
  }

  const testing::TemporaryDirectory directory_;
  const std::string path_ = directory_.path() + "/log";
  std::uint64_t size_ = 0;
};

TEST_F(SameFileTest, is_one_that_has_grown) {
  write("first\n");
  const SendState state = known_at(6);
  EXPECT_TRUE(is_same(state));
  write("first\nsecond\n");
  EXPECT_TRUE(is_same(state));
}

TEST_F(SameFileTest, is_none_that_is_shorter_or_begins_otherwise) {
  write("first\nsecond\n");
  const SendState state = known_at(0);
  write("first\n");
  EXPECT_FALSE(is_same(state));
  write("First\nsecond\n");
  EXPECT_FALSE(is_same(state));
}

TEST_F(SameFileTest, is_none_that_differs_before_the_place) {
  const std::string head(10'000, 'x');
  write(head + "first\n");
  const SendState state = known_at(10'006);
  write(head + "First\nsecond\n");
  EXPECT_FALSE(is_same(state));
}

}  // namespace
}  // namespace log_aggregator::cli
