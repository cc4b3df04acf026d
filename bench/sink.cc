// An HTTP/1.1 server that takes whatever is posted, forgets it and answers 200: the other end of
// every delivery benchmark, so that shippers are compared and not servers.
//
// Listens on a free port of 127.0.0.1, prints `listening on http://127.0.0.1:PORT` and runs until
// it is killed. One thread for each connection. GET /api/health answers as the collector's does;
// GET /stats answers the requests and bytes (heads and bodies) that were posted since it was last
// asked.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace {

constexpr std::string_view kHealth =
    R"({"status":"ok","version":"sink","batch":{"max_records":10000,"max_bytes":4194304},)"
    R"("formats":["array","ndjson"],"encodings":["zstd","gzip"]})";

std::atomic<std::uint64_t> requests{0};
std::atomic<std::uint64_t> bytes{0};

class Connection {
 public:
  explicit Connection(int socket) : socket_(socket), buffer_(256 * 1024) {}
  ~Connection() { close(socket_); }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  void serve() {
    while (auto head = read_head()) {
      if (header(*head, "Expect")) send("HTTP/1.1 100 Continue\r\n\r\n");
      const auto length = header(*head, "Content-Length");
      const std::size_t body = length ? std::strtoull(length->c_str(), nullptr, 10) : 0;
      if (!skip_body(body)) return;
      answer(*head, head->size() + body);
    }
  }

 private:
  // Up to and with the empty line; nothing at the end of the connection.
  std::optional<std::string> read_head() {
    std::size_t end = 0;
    while ((end = pending_.find("\r\n\r\n")) == std::string::npos) {
      if (!receive(pending_)) return std::nullopt;
    }
    std::string head = pending_.substr(0, end + 4);
    pending_.erase(0, end + 4);
    return head;
  }

  bool skip_body(std::size_t length) {
    const std::size_t here = std::min(length, pending_.size());
    pending_.erase(0, here);
    for (std::size_t left = length - here; left > 0;) {
      const auto got = recv(socket_, buffer_.data(), std::min(left, buffer_.size()), 0);
      if (got <= 0) return false;
      left -= static_cast<std::size_t>(got);
    }
    return true;
  }

  void answer(std::string_view head, std::size_t size) {
    if (head.starts_with("POST ")) {
      requests.fetch_add(1);
      bytes.fetch_add(size);
      respond("{}");
    } else if (head.starts_with("GET /stats ")) {
      respond("{\"requests\":" + std::to_string(requests.exchange(0)) +
              ",\"bytes\":" + std::to_string(bytes.exchange(0)) + "}");
    } else {
      respond(kHealth);
    }
  }

  static std::optional<std::string> header(std::string_view head, std::string_view name) {
    for (std::size_t at = head.find("\r\n"); at + 4 < head.size(); at = head.find("\r\n", at + 2)) {
      const std::string_view line = head.substr(at + 2);
      if (line.size() > name.size() && line[name.size()] == ':' &&
          strncasecmp(line.data(), name.data(), name.size()) == 0) {
        return std::string(line.substr(name.size() + 1, line.find("\r\n") - name.size() - 1));
      }
    }
    return std::nullopt;
  }

  bool receive(std::string& into) {
    const auto got = recv(socket_, buffer_.data(), buffer_.size(), 0);
    if (got <= 0) return false;
    into.append(buffer_.data(), static_cast<std::size_t>(got));
    return true;
  }

  void respond(std::string_view body) {
    send("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: " +
         std::to_string(body.size()) + "\r\n\r\n" + std::string(body));
  }

  void send(std::string_view text) {
    while (!text.empty()) {
      const auto sent = ::send(socket_, text.data(), text.size(), MSG_NOSIGNAL);
      if (sent <= 0) return;
      text.remove_prefix(static_cast<std::size_t>(sent));
    }
  }

  const int socket_;
  std::vector<char> buffer_;
  std::string pending_;  // received, not yet used
};

int listen_on_free_port() {
  const int listener = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  if (listener < 0 || bind(listener, generic, size) != 0 || listen(listener, 1024) != 0 ||
      getsockname(listener, generic, &size) != 0) {
    std::perror("log_aggregator_sink");
    std::exit(1);
  }
  std::printf("listening on http://127.0.0.1:%d\n", ntohs(address.sin_port));
  std::fflush(stdout);
  return listener;
}

}  // namespace

int main() {
  const int listener = listen_on_free_port();
  while (true) {
    const int socket = accept(listener, nullptr, nullptr);
    if (socket < 0) continue;
    const int on = 1;
    setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    std::thread([socket] { Connection(socket).serve(); }).detach();
  }
}
