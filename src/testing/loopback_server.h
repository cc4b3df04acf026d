// LoopbackServer: a small real HTTP/1.1 server on 127.0.0.1 that can misbehave as servers and
// networks do. Each connection has a thread of its own, on which the test's function is called.

#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "src/base/mutex.h"

namespace log_aggregator::testing {

struct Received {
  std::string method;
  std::string path;
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;

  std::string header(const std::string& name) const {
    const auto found = headers.find(name);
    return found == headers.end() ? "" : found->second;
  }
};

struct Reply {
  enum class Way {
    answer,
    answer_and_close,
    raw,    // `body` as it is, then the end of the connection
    drip,   // the answer, a byte a second
    hang,   // nothing, until the client goes
    reset,  // no answer, but a TCP reset
  };
  int status = 200;
  std::string body;
  std::map<std::string, std::string> headers;
  Way way = Way::answer;
};

class LoopbackServer {
 public:
  using Serve = std::function<Reply(const Received&)>;

  explicit LoopbackServer(Serve serve);
  // Ends every connection.
  ~LoopbackServer();
  LoopbackServer(const LoopbackServer&) = delete;
  LoopbackServer& operator=(const LoopbackServer&) = delete;

  // From the next request on.
  void serve_with(Serve serve) EXCLUDES(mutex_);

  std::string url(const std::string& path) const;
  std::vector<Received> received() const EXCLUDES(mutex_);
  int connections() const EXCLUDES(mutex_);
  // Whether that many requests have come before a long time is over.
  bool wait_for_requests(std::size_t count) const EXCLUDES(mutex_);
  // The same for connections that clients have ended.
  bool wait_for_hangups(int count) const EXCLUDES(mutex_);

 private:
  void accept_connections();
  void serve_connection(int socket);
  bool reply(int socket, const Reply& reply);

  int listener_ = -1;
  int port_ = 0;
  std::thread acceptor_;

  mutable Mutex mutex_;
  mutable CondVar changed_;
  Serve serve_ GUARDED_BY(mutex_);
  std::vector<std::thread> threads_ GUARDED_BY(mutex_);
  std::vector<int> sockets_ GUARDED_BY(mutex_);
  std::vector<Received> received_ GUARDED_BY(mutex_);
  int hangups_ GUARDED_BY(mutex_) = 0;
};

// An address on which nobody listens.
std::string refusing_url(const std::string& path);

}  // namespace log_aggregator::testing
