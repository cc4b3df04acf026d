// A server of several threads that log through one handler: each request becomes a record with its
// path, status and duration as fields, under the trace that the client says it belongs to.
//
//   server [ENDPOINT [PORT]]
//
// Any path is answered; /broken is an error with an exception. Ends on SIGINT and SIGTERM.

#include <log_aggregator/handler.h>
#include <pthread.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "http.h"

namespace {

using log_aggregator::exception;
using log_aggregator::field;
using log_aggregator::Handler;
using log_aggregator::Level;
using log_aggregator::Trace;
using Clock = std::chrono::steady_clock;

constexpr int kThreads = 4;

// The ids in a header traceparent as the W3C defines it: 00-TRACE-SPAN-FLAGS.
Trace trace_of(std::string_view head) {
  constexpr std::size_t kTrace = 3, kTraceDigits = 32, kSpan = 36, kSpanDigits = 16;
  const std::string_view parent = http::header_of(head, "traceparent");
  if (parent.size() < kSpan + kSpanDigits) return {};
  return {parent.substr(kTrace, kTraceDigits), parent.substr(kSpan, kSpanDigits)};
}

std::string content_of(std::string_view path) {
  if (path == "/broken") throw std::runtime_error("no such table: articles");
  return "You asked for " + std::string(path) + "\n";
}

void serve(Handler& handler, int connection) {
  const auto began = Clock::now();
  const std::string head = http::read_head(connection);
  const std::string_view path = http::path_of(head);
  const Trace trace = trace_of(head);
  int status = 200;
  std::string content;
  try {
    content = content_of(path);
  } catch (const std::exception&) {
    status = 500;
    handler.log(Level::error, "request failed", exception(), trace, field("path", path));
  }
  http::answer(connection, status, content);
  const std::chrono::duration<double, std::milli> took = Clock::now() - began;
  handler.log(Level::info, "request served", trace, field("path", path), field("status", status),
              field("duration_ms", took.count()));
}

void work(Handler& handler, int listener, int number) {
  log_aggregator::set_thread_name("worker-" + std::to_string(number));
  for (int connection = ::accept(listener, nullptr, nullptr); connection >= 0;
       connection = ::accept(listener, nullptr, nullptr)) {
    serve(handler, connection);
  }
}

// Blocks the signals that end the program in this thread and those it starts.
sigset_t block_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  return signals;
}

}  // namespace

int main(int count, char** arguments) {
  const sigset_t signals = block_signals();
  log_aggregator::Options options;
  options.api_endpoint = count > 1 ? arguments[1] : "http://127.0.0.1:8080/api/logs";
  options.logger = "server";
  auto made = Handler::create(std::move(options));
  if (!made.ok()) {
    std::fprintf(stderr, "%s\n", made.status().message().c_str());
    return 1;
  }
  Handler& handler = **made;

  const int listener = http::listen_on(count > 2 ? std::atoi(arguments[2]) : 0);
  if (listener < 0) {
    std::perror("listen");
    return 1;
  }
  std::vector<std::thread> threads;
  for (int number = 1; number <= kThreads; ++number) {
    threads.emplace_back(work, std::ref(handler), listener, number);
  }
  std::printf("listening on http://127.0.0.1:%d\n", http::port_of(listener));
  std::fflush(stdout);

  int signal = 0;
  sigwait(&signals, &signal);
  ::shutdown(listener, SHUT_RDWR);  // accept() fails from now on
  for (std::thread& thread : threads) thread.join();
  handler.log(Level::info, "server ends", field("signal", signal));
  return handler.close() ? 0 : 1;
}
