#include "src/deliver/worker.h"

#include <gtest/gtest.h>
#include <pthread.h>

#include <atomic>
#include <csignal>
#include <future>
#include <memory>
#include <string>
#include <thread>

namespace log_aggregator {
namespace {

TEST(WorkerTest, starts_when_it_is_told_and_ends_with_its_body) {
  Worker worker;
  EXPECT_FALSE(worker.started());
  std::atomic<bool> ran{false};
  EXPECT_TRUE(worker.start([&] { ran = true; }));
  worker.join();
  EXPECT_TRUE(ran);
}

TEST(WorkerTest, is_joined_when_it_is_destroyed) {
  std::atomic<bool> ran{false};
  {
    Worker worker;
    worker.start([&] { ran = true; });
  }
  EXPECT_TRUE(ran);
}

TEST(WorkerTest, abandoned_it_goes_on_alone) {
  std::promise<void> release;
  const auto ended = std::make_shared<std::atomic<bool>>(false);
  {
    Worker worker;
    worker.start([released = release.get_future().share(), ended] {
      released.wait();
      *ended = true;
    });
    worker.abandon();
  }
  EXPECT_FALSE(*ended);
  release.set_value();
  while (!*ended) std::this_thread::yield();
}

TEST(WorkerTest, has_a_name) {
  char name[16] = "";
  std::promise<void> named;
  Worker worker;
  worker.start([&, named_by_now = named.get_future().share()] {
    named_by_now.wait();
    pthread_getname_np(pthread_self(), name, sizeof name);
  });
  named.set_value();
  worker.join();
  EXPECT_EQ(std::string(name), "log-aggregator");
}

TEST(WorkerTest, the_applications_signal_handlers_do_not_run_on_it_but_faults_are_told) {
  sigset_t before;
  pthread_sigmask(SIG_SETMASK, nullptr, &before);
  sigset_t blocked;
  Worker worker;
  worker.start([&] { pthread_sigmask(SIG_SETMASK, nullptr, &blocked); });
  worker.join();
  for (const int signal : {SIGTERM, SIGINT, SIGCHLD, SIGALRM, SIGUSR1, SIGPIPE, SIGABRT}) {
    EXPECT_EQ(sigismember(&blocked, signal), 1) << signal;
  }
  for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL}) {
    EXPECT_EQ(sigismember(&blocked, fault), 0) << fault;
  }
  sigset_t after;
  pthread_sigmask(SIG_SETMASK, nullptr, &after);
  EXPECT_EQ(sigismember(&after, SIGTERM), sigismember(&before, SIGTERM));
}

}  // namespace
}  // namespace log_aggregator
