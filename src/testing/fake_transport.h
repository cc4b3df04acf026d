// FakeTransport answers as the test says, at once or after a time of the fake clock, and keeps
// every request. Where poll() would sleep it moves the clock instead; where it would sleep for
// ever it is idle. One thread, but for wake().

#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "src/deliver/transport.h"
#include "src/testing/fake_clock.h"

namespace log_aggregator::testing {

class FakeTransport final : public Transport {
 public:
  struct Answer {
    Response response;
    std::chrono::milliseconds after{0};  // beyond the request's timeout: it times out
  };
  struct Sent {
    Request request;
    std::chrono::milliseconds at{0};  // of the fake clock
  };

  explicit FakeTransport(FakeClock& clock) : clock_(clock) {}

  std::function<Answer(const Request&)> on_get;
  std::function<Answer(const Request&)> on_post;
  std::vector<Sent> gets;
  std::vector<Sent> posts;
  int cancelled = 0;

  // Whether nothing will happen any more without an outside cause.
  bool idle() const { return idle_; }

  void submit(Request request) override {
    const bool get = request.method == Request::Method::get;
    (get ? gets : posts).push_back({request, clock_.elapsed()});
    Answer answer = get ? on_get(request) : on_post(request);
    if (answer.after > request.timeout) {
      answer = {{.status = 0, .error = "timed out", .body = {}, .retry_after = {}},
                request.timeout};
    }
    due_ = clock_.now() + answer.after;
    under_way_ = std::move(answer.response);
  }

  std::optional<Response> poll(Clock::TimePoint until) override {
    if (under_way_ && due_ <= until) {
      clock_.advance_to(due_);
      return std::exchange(under_way_, std::nullopt);
    }
    if (woken_.exchange(false)) return std::nullopt;
    idle_ = until == Clock::TimePoint::max();
    if (!idle_) clock_.advance_to(until);
    return std::nullopt;
  }

  void cancel() override {
    if (under_way_) ++cancelled;
    under_way_.reset();
  }

  void wake() noexcept override {
    woken_ = true;
    idle_ = false;
  }

 private:
  FakeClock& clock_;
  std::optional<Response> under_way_;
  Clock::TimePoint due_{};
  std::atomic<bool> woken_{false};
  std::atomic<bool> idle_{false};
};

}  // namespace log_aggregator::testing
