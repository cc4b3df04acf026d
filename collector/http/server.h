// HttpServer: HTTP/1.1 on one address, on one thread of its own, by Boost.Beast (which no other
// file knows).
//
// It reads requests within limits of size and of total time, asks an HttpHandler, and writes its
// answers, keeping connections open where the client wants that. Framing that two servers could
// read differently (two lengths, a length beside chunks) is refused.

#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "collector/http/message.h"
#include "log_aggregator/status.h"

namespace log_aggregator::collector {

struct HttpServerOptions {
  std::string host = "127.0.0.1";  // an IP address or a name that resolves to one
  std::uint16_t port = 0;          // 0: a free one
  // Addresses that others can reach are refused.
  bool loopback_only = false;

  std::size_t max_header_bytes = 16 << 10;
  std::size_t max_body_bytes = 8 << 20;
  // Of all requests together, from their headers to their answers. What goes beyond is refused with
  // 503 and Retry-After.
  std::size_t max_total_body_bytes = 256 << 20;
  // More are closed at once.
  std::size_t max_connections = 10'000;

  // Totals, however the bytes trickle.
  std::chrono::milliseconds header_timeout{10'000};
  std::chrono::milliseconds body_timeout{60'000};
  std::chrono::milliseconds write_timeout{60'000};
  // How long a stream may have nothing to send before it shows that it lives.
  std::chrono::milliseconds keep_alive_interval{15'000};
  // How long a connection may stay open between requests.
  std::chrono::milliseconds idle_timeout{120'000};
  // How long stop() waits for requests to arrive in full and answers to leave.
  std::chrono::milliseconds stop_timeout{10'000};
};

class HttpServer {
 public:
  // Takes the address. Clients may connect from now on and wait.
  static Result<std::unique_ptr<HttpServer>> listen(HttpServerOptions options);

  // Starts to answer. `handler` must live until stop() has returned. Call it once.
  void serve(HttpHandler& handler);

  // Stops, as stop() does.
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  // http://HOST:PORT
  const std::string& url() const;

  // Takes no more requests, answers those under way and returns when all are. May be repeated; not
  // from two threads at once, nor from a handler.
  void stop();

 private:
  class Impl;
  explicit HttpServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace log_aggregator::collector
