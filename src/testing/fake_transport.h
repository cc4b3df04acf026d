// FakeTransport answers each request as the test says, at once or after a time of the fake clock,
// and keeps every request. Where poll() would sleep it moves the clock instead; where it would
// sleep for ever it is idle. One thread, but for wake().

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
  // A request, with its body as a server sees it.
  struct Received : Request {
    std::string content;
  };
  struct Sent {
    Received request;
    std::chrono::milliseconds at{0};  // of the fake clock
  };

  explicit FakeTransport(FakeClock& clock) : clock_(clock) {}

  std::function<Answer(const Received&)> on_get;
  std::function<Answer(const Received&)> on_post;
  std::function<void()> during_poll;  // what others do meanwhile
  std::vector<Sent> gets;
  std::vector<Sent> posts;
  int cancelled = 0;
  std::size_t most_under_way = 0;  // at once

  // Whether nothing will happen any more without an outside cause.
  bool idle() const { return idle_; }

  std::uint64_t submit(Request submitted) override {
    const Received request{submitted, read_all(submitted.body)};
    const bool get = request.method == Request::Method::get;
    (get ? gets : posts).push_back({request, clock_.elapsed()});
    Answer answer = get ? on_get(request) : on_post(request);
    if (answer.after > request.timeout) {
      answer = {{.status = 0, .error = "timed out", .body = {}, .retry_after = {}},
                request.timeout};
    }
    answer.response.request = ++last_request_;
    under_way_.push_back({clock_.now() + answer.after, std::move(answer.response)});
    most_under_way = std::max(most_under_way, under_way_.size());
    return last_request_;
  }

  std::optional<Response> poll(Clock::TimePoint until) override {
    const auto next = std::min_element(
        under_way_.begin(), under_way_.end(),
        [](const Coming& one, const Coming& other) { return one.due < other.due; });
    if (during_poll) during_poll();
    const bool is_there = next != under_way_.end() && next->due <= clock_.now();
    if (!is_there && woken_.exchange(false)) return std::nullopt;
    if (next != under_way_.end() && next->due <= until) {
      clock_.advance_to(next->due);
      Response response = std::move(next->response);
      under_way_.erase(next);
      return response;
    }
    idle_ = until == Clock::TimePoint::max();
    if (!idle_) clock_.advance_to(until);
    return std::nullopt;
  }

  void cancel() override {
    cancelled += static_cast<int>(under_way_.size());
    under_way_.clear();
  }

  void wake() noexcept override {
    woken_ = true;
    idle_ = false;
  }

 private:
  // An answer, and when it comes.
  struct Coming {
    Clock::TimePoint due;
    Response response;
  };

  // In parts of no particular size.
  static std::string read_all(Body* body) {
    std::string content;
    char part[1000];
    while (const std::size_t count = body != nullptr ? body->read(part, sizeof part) : 0) {
      content.append(part, count);
    }
    return content;
  }

  FakeClock& clock_;
  std::vector<Coming> under_way_;
  std::uint64_t last_request_ = 0;
  std::atomic<bool> woken_{false};
  std::atomic<bool> idle_{false};
};

}  // namespace log_aggregator::testing
