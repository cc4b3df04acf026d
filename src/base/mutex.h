// Mutex, MutexLock and CondVar: the standard ones, carrying Clang's thread-safety annotations, so
// that a field used without its lock is a compile error (clang++ -Wthread-safety -Werror).

#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>

#include "src/base/not_cancelled.h"

#if defined(__clang__)
#define LOG_AGGREGATOR_ANNOTATION(x) __attribute__((x))
#else
#define LOG_AGGREGATOR_ANNOTATION(x)
#endif

#define CAPABILITY(x) LOG_AGGREGATOR_ANNOTATION(capability(x))
#define SCOPED_CAPABILITY LOG_AGGREGATOR_ANNOTATION(scoped_lockable)
#define GUARDED_BY(x) LOG_AGGREGATOR_ANNOTATION(guarded_by(x))
#define REQUIRES(...) LOG_AGGREGATOR_ANNOTATION(requires_capability(__VA_ARGS__))
#define EXCLUDES(...) LOG_AGGREGATOR_ANNOTATION(locks_excluded(__VA_ARGS__))
#define ACQUIRE(...) LOG_AGGREGATOR_ANNOTATION(acquire_capability(__VA_ARGS__))
#define RELEASE(...) LOG_AGGREGATOR_ANNOTATION(release_capability(__VA_ARGS__))
#define NO_THREAD_SAFETY_ANALYSIS LOG_AGGREGATOR_ANNOTATION(no_thread_safety_analysis)

namespace log_aggregator {

class CAPABILITY("mutex") Mutex {
 public:
  Mutex() = default;
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;

  // Whoever holds it is likely to let it go within a few hundred nanoseconds: less than it costs to
  // sleep, and less than it then costs the one that lets it go to wake the sleeper.
  void lock() ACQUIRE() {
    for (int spins = 0; spins < kMostSpins; ++spins) {
      if (mutex_.try_lock()) return;
      pause();
    }
    mutex_.lock();
  }
  void unlock() RELEASE() { mutex_.unlock(); }

 private:
  static constexpr int kMostSpins = 40;  // about 1 µs on an AMD EPYC

  static void pause() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("isb");  // waits as long as x86's pause; yield commonly does not
#endif
  }

  friend class CondVar;
  std::mutex mutex_;
};

class SCOPED_CAPABILITY MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) ACQUIRE(mutex) : mutex_(mutex) { mutex_.lock(); }
  ~MutexLock() RELEASE() { mutex_.unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex& mutex_;
};

// Waits may end early: call them in a loop that tests the condition, under the mutex. A thread that
// waits is not cancelled.
class CondVar {
 public:
  void wait(Mutex& mutex) REQUIRES(mutex) {
    const NotCancelled guard;
    std::unique_lock<std::mutex> lock(mutex.mutex_, std::adopt_lock);
    condition_.wait(lock);
    lock.release();
  }
  void wait_until(Mutex& mutex, std::chrono::steady_clock::time_point deadline) REQUIRES(mutex) {
    const NotCancelled guard;
    std::unique_lock<std::mutex> lock(mutex.mutex_, std::adopt_lock);
    condition_.wait_until(lock, deadline);
    lock.release();
  }
  void notify_one() { condition_.notify_one(); }
  void notify_all() { condition_.notify_all(); }

 private:
  std::condition_variable condition_;
};

}  // namespace log_aggregator
