// A server that takes whatever is posted, forgets it and answers as each shipper expects: the other
// end of every delivery benchmark, so that shippers are compared and not servers.
//
//   log_aggregator_sink [--answer-after MS] [--count MARKER]
//
// Listens on a free port of 127.0.0.1, prints `listening on http://127.0.0.1:PORT` and runs until
// it is killed. One thread for each connection. HTTP/1.1: a POST is answered 204 under /loki/
// (Loki's push), an empty 200 at /v1/logs (OTLP over HTTP), else 200 and an empty JSON object; GET
// /api/health answers as the collector's does. A connection whose first byte is `{` is a stream of
// JSON lines (Logstash's TCP input), which nothing answers.
//
// GET /stats answers what came since it was last asked: requests, bytes (heads and bodies) and
// records. Records are counted only with --count, as the places where MARKER stands in the
// decompressed bodies: that costs time, so it is for runs that verify, not for those that measure.
//
// --answer-after holds each answer back. To a client that waits for its answers that is a longer
// round trip, but for the opening of connections and the slow start of TCP.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <variant>
#include <vector>

#include "collector/http/decompress.h"

namespace {

constexpr std::size_t kMaxBodyBytes = std::size_t{1} << 30;

constexpr std::string_view kHealth =
    R"({"status":"ok","version":"sink","batch":{"max_records":10000,"max_bytes":4194304},)"
    R"("formats":["array","ndjson"],"encodings":["zstd","gzip"]})";

std::atomic<std::uint64_t> requests{0};
std::atomic<std::uint64_t> bytes{0};
std::atomic<std::uint64_t> records{0};

// Set by main() before the first connection.
std::string marker;  // empty: records are not counted
std::chrono::milliseconds answer_after{0};

void count_records(std::string_view text) {
  std::uint64_t found = 0;
  for (auto at = text.find(marker); at != std::string_view::npos;
       at = text.find(marker, at + marker.size())) {
    ++found;
  }
  records.fetch_add(found);
}

class Connection {
 public:
  explicit Connection(int socket) : socket_(socket), buffer_(256 * 1024) {}
  ~Connection() { close(socket_); }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  void serve() {
    if (!receive(pending_)) return;
    if (pending_.front() == '{') {
      take_lines();
    } else {
      take_requests();
    }
  }

 private:
  void take_requests() {
    while (auto head = read_head()) {
      if (header(*head, "Expect")) send("HTTP/1.1 100 Continue\r\n\r\n");
      const auto length = header(*head, "Content-Length");
      const std::size_t body = length ? std::strtoull(length->c_str(), nullptr, 10) : 0;
      if (!(marker.empty() ? skip_body(body) : count_body(*head, body))) return;
      answer(*head, head->size() + body);
    }
  }

  void take_lines() {
    do {
      const std::size_t end = pending_.rfind('\n');
      if (end == std::string::npos) continue;
      bytes.fetch_add(end + 1);
      if (!marker.empty()) count_records(std::string_view(pending_).substr(0, end));
      pending_.erase(0, end + 1);
    } while (receive(pending_));
  }

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

  bool count_body(std::string_view head, std::size_t length) {
    while (pending_.size() < length) {
      if (!receive(pending_)) return false;
    }
    const auto encoding = header(head, "Content-Encoding");
    const auto text = log_aggregator::collector::decompress(pending_.substr(0, length),
                                                            encoding.value_or(""), kMaxBodyBytes);
    pending_.erase(0, length);
    if (!std::holds_alternative<std::string>(text)) return false;
    count_records(std::get<std::string>(text));
    return true;
  }

  void answer(std::string_view head, std::size_t size) {
    if (head.starts_with("POST ")) {
      requests.fetch_add(1);
      bytes.fetch_add(size);
      if (answer_after.count() > 0) std::this_thread::sleep_for(answer_after);
      answer_post(head);
    } else if (head.starts_with("GET /stats ")) {
      respond_json("{\"requests\":" + std::to_string(requests.exchange(0)) +
                   ",\"bytes\":" + std::to_string(bytes.exchange(0)) +
                   ",\"records\":" + std::to_string(records.exchange(0)) + "}");
    } else {
      respond_json(kHealth);
    }
  }

  void answer_post(std::string_view head) {
    if (head.starts_with("POST /loki/")) {
      send("HTTP/1.1 204 No Content\r\n\r\n");
    } else if (head.starts_with("POST /v1/logs ")) {
      respond("application/x-protobuf", "");
    } else {
      respond_json("{}");
    }
  }

  static std::optional<std::string> header(std::string_view head, std::string_view name) {
    for (std::size_t at = head.find("\r\n"); at + 4 < head.size(); at = head.find("\r\n", at + 2)) {
      const std::string_view line = head.substr(at + 2);
      if (line.size() > name.size() && line[name.size()] == ':' &&
          strncasecmp(line.data(), name.data(), name.size()) == 0) {
        const std::string_view value =
            line.substr(name.size() + 1, line.find("\r\n") - name.size() - 1);
        return std::string(value.substr(std::min(value.find_first_not_of(' '), value.size())));
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

  void respond_json(std::string_view body) { respond("application/json", body); }

  void respond(std::string_view type, std::string_view body) {
    send("HTTP/1.1 200 OK\r\nContent-Type: " + std::string(type) +
         "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + std::string(body));
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

bool parse(int count, char** arguments) {
  for (int i = 1; i < count; i += 2) {
    const std::string_view name = arguments[i];
    if (i + 1 == count) return false;
    if (name == "--count") {
      marker = arguments[i + 1];
    } else if (name == "--answer-after") {
      answer_after = std::chrono::milliseconds(std::atoi(arguments[i + 1]));
    } else {
      return false;
    }
  }
  return true;
}

}  // namespace

int main(int count, char** arguments) {
  if (!parse(count, arguments)) {
    std::fprintf(stderr, "usage: %s [--answer-after MS] [--count MARKER]\n", arguments[0]);
    return 2;
  }
  const int listener = listen_on_free_port();
  while (true) {
    const int socket = accept(listener, nullptr, nullptr);
    if (socket < 0) continue;
    const int on = 1;
    setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    std::thread([socket] { Connection(socket).serve(); }).detach();
  }
}
