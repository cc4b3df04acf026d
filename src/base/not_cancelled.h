// NotCancelled: while one lives, its thread is not cancelled by pthread_cancel(3), but afterwards.
//
// For functions that are noexcept: cancelling unwinds the thread's stack, and ends the program
// where that meets one. Only calls that wait or that reach a file or the network can be interrupted
// so.

#pragma once

#include <pthread.h>

namespace log_aggregator {

class NotCancelled {
 public:
  NotCancelled() { ::pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before_); }
  ~NotCancelled() { ::pthread_setcancelstate(before_, nullptr); }
  NotCancelled(const NotCancelled&) = delete;
  NotCancelled& operator=(const NotCancelled&) = delete;

 private:
  int before_ = PTHREAD_CANCEL_ENABLE;
};

}  // namespace log_aggregator
