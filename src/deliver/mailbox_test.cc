#include "src/deliver/mailbox.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <thread>

namespace log_aggregator {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

class MailboxTest : public ::testing::Test {
 protected:
  // Runs a call that notes its thread; the worker is whoever calls this.
  bool run() {
    return mailbox_.run([this] {
      ++runs_;
      ran_on_ = std::this_thread::get_id();
      EXPECT_TRUE(mailbox_.inside_call());
    });
  }
  void in_background(std::function<void()> body) { worker_ = std::thread(std::move(body)); }
  bool serve(const std::function<void()>& begin, const std::function<bool()>& done) {
    return mailbox_.serve_until(steady_clock::now() + seconds(20), begin, done);
  }

  ~MailboxTest() override {
    if (worker_.joinable()) worker_.join();
  }

  Mailbox mailbox_;
  std::atomic<int> runs_{0};
  std::thread::id ran_on_;
  std::thread worker_;
};

TEST_F(MailboxTest, the_worker_runs_a_call_itself_where_nobody_waits) {
  EXPECT_TRUE(run());
  EXPECT_EQ(ran_on_, std::this_thread::get_id());
  EXPECT_FALSE(mailbox_.inside_call());
}

TEST_F(MailboxTest, a_thread_that_waits_runs_the_call) {
  EXPECT_TRUE(serve([this] { in_background([this] { EXPECT_TRUE(run()); }); },
                    [this] { return runs_ == 1; }));
  EXPECT_EQ(ran_on_, std::this_thread::get_id());
}

TEST_F(MailboxTest, many_calls_are_served_one_after_the_other) {
  EXPECT_TRUE(serve(
      [this] {
        in_background([this] {
          for (int i = 0; i < 1000; ++i) EXPECT_TRUE(run());
        });
      },
      [this] { return runs_ == 1000; }));
}

TEST_F(MailboxTest, a_call_that_no_thread_has_begun_is_taken_back_when_they_leave) {
  for (int round = 0; round < 2'000; ++round) {
    runs_ = 0;
    std::thread worker([&] { EXPECT_TRUE(run()); });
    mailbox_.serve_until(
        steady_clock::now() + std::chrono::microseconds(round % 200), [] {}, [] { return false; });
    worker.join();
    EXPECT_EQ(runs_, 1) << "neither lost nor run twice";
  }
}

TEST_F(MailboxTest, serving_ends_at_its_deadline) {
  const auto before = steady_clock::now();
  EXPECT_FALSE(mailbox_.serve_until(
      before + milliseconds(20), [] {}, [] { return false; }));
  EXPECT_GE(steady_clock::now() - before, milliseconds(20));
}

TEST_F(MailboxTest, serving_ends_when_a_notification_finds_it_done) {
  std::atomic<bool> done{false};
  EXPECT_TRUE(serve(
      [&] {
        in_background([&] {
          done = true;
          mailbox_.notify();
        });
      },
      [&] { return done.load(); }));
}

TEST_F(MailboxTest, what_is_done_already_is_not_waited_for) {
  EXPECT_TRUE(mailbox_.serve_until(
      steady_clock::now(), [] {}, [] { return true; }));
}

TEST_F(MailboxTest, detached_the_worker_runs_nothing_itself) {
  EXPECT_TRUE(mailbox_.detach(steady_clock::now()));
  EXPECT_FALSE(run());
  EXPECT_EQ(runs_, 0);
}

TEST_F(MailboxTest, detached_threads_that_wait_still_serve) {
  EXPECT_TRUE(mailbox_.detach(steady_clock::now()));
  EXPECT_TRUE(serve([this] { in_background([this] { EXPECT_TRUE(run()); }); },
                    [this] { return runs_ == 1; }));
  EXPECT_EQ(ran_on_, std::this_thread::get_id());
}

TEST_F(MailboxTest, detaching_gives_up_on_a_call_that_does_not_end) {
  std::promise<void> begun;
  std::promise<void> release;
  in_background([&] {
    mailbox_.run([&] {
      begun.set_value();
      release.get_future().wait();
    });
  });
  begun.get_future().wait();
  EXPECT_FALSE(mailbox_.detach(steady_clock::now() + milliseconds(20)));
  release.set_value();
  EXPECT_TRUE(mailbox_.detach(steady_clock::now() + seconds(20)));
}

TEST_F(MailboxTest, detaching_from_inside_a_call_does_not_wait_for_itself) {
  EXPECT_TRUE(mailbox_.run(
      [this] { EXPECT_FALSE(mailbox_.detach(steady_clock::now() + std::chrono::hours(1))); }));
}

TEST_F(MailboxTest, inside_call_is_true_for_this_mailbox_and_thread_only) {
  Mailbox other;
  mailbox_.run([&] {
    EXPECT_TRUE(mailbox_.inside_call());
    EXPECT_FALSE(other.inside_call());
    other.run([&] { EXPECT_TRUE(other.inside_call()); });
    EXPECT_TRUE(mailbox_.inside_call()) << "also after a call of another mailbox";
    std::thread([&] { EXPECT_FALSE(mailbox_.inside_call()); }).join();
  });
}

TEST_F(MailboxTest, a_call_here_is_refused_from_inside_a_call) {
  mailbox_.run([this] { EXPECT_FALSE(mailbox_.run_here([] {})); });
  EXPECT_TRUE(mailbox_.run_here([this] { EXPECT_TRUE(mailbox_.inside_call()); }));
}

TEST_F(MailboxTest, no_two_calls_run_at_once) {
  std::atomic<int> inside{0};
  const std::function<void()> call = [&] {
    EXPECT_EQ(++inside, 1);
    std::this_thread::yield();
    --inside;
  };
  in_background([&] {
    for (int i = 0; i < 500; ++i) EXPECT_TRUE(mailbox_.run(call));
  });
  std::thread server([&] {
    for (int i = 0; i < 500; ++i) {
      mailbox_.serve_until(
          steady_clock::now() + milliseconds(1), [] {}, [] { return false; });
    }
  });
  for (int i = 0; i < 500; ++i) EXPECT_TRUE(mailbox_.run_here(call));
  worker_.join();
  server.join();
}

}  // namespace
}  // namespace log_aggregator
