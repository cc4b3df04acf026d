#include "src/testing/loopback_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <optional>
#include <string_view>
#include <utility>

namespace log_aggregator::testing {
namespace {

constexpr std::chrono::seconds kLongTime{20};

// A socket bound to a free port of 127.0.0.1.
std::pair<int, int> bind_to_free_port() {
  const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* const generic = reinterpret_cast<sockaddr*>(&address);
  if (::bind(socket, generic, size) != 0 || ::getsockname(socket, generic, &size) != 0)
    std::abort();
  return {socket, ntohs(address.sin_port)};
}

std::string loopback_url(int port, const std::string& path) {
  return "http://127.0.0.1:" + std::to_string(port) + path;
}

bool send_all(int socket, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
  return true;
}

// Reads until the client ends the connection, or the server's end shuts it down.
void drain(int socket) {
  char bytes[4096];
  while (::recv(socket, bytes, sizeof bytes, 0) > 0) {
  }
}

// Whether the client leaves within the second.
bool gone_within_a_second(int socket) {
  pollfd entry{.fd = socket, .events = POLLIN | POLLRDHUP, .revents = 0};
  return ::poll(&entry, 1, 1000) > 0;
}

bool send_dripping(int socket, std::string_view bytes) {
  for (const char byte : bytes) {
    if (!send_all(socket, {&byte, 1}) || gone_within_a_second(socket)) return false;
  }
  return true;
}

void reset(int socket) {
  const linger now{.l_onoff = 1, .l_linger = 0};
  ::setsockopt(socket, SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

std::string text_of(const Reply& reply) {
  std::string text = "HTTP/1.1 " + std::to_string(reply.status) + " X\r\n";
  for (const auto& [name, value] : reply.headers) {
    text.append(name).append(": ").append(value).append("\r\n");
  }
  if (reply.way == Reply::Way::answer_and_close) text += "Connection: close\r\n";
  return text + "Content-Length: " + std::to_string(reply.body.size()) + "\r\n\r\n" + reply.body;
}

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

Received parse_head(std::string_view head) {
  Received request;
  std::size_t end = head.find("\r\n");
  const std::string_view first = head.substr(0, end);
  request.method = first.substr(0, first.find(' '));
  const std::string_view rest = first.substr(request.method.size() + 1);
  request.path = rest.substr(0, rest.find(' '));
  for (head.remove_prefix(end + 2); !head.empty(); head.remove_prefix(end + 2)) {
    end = head.find("\r\n");
    const std::string_view line = head.substr(0, end);
    const std::size_t colon = line.find(": ");
    if (colon == std::string_view::npos) continue;
    request.headers[lower(std::string(line.substr(0, colon)))] = line.substr(colon + 2);
  }
  return request;
}

// The next request from `socket`; `left` holds what was read beyond the one before.
std::optional<Received> read_request(int socket, std::string& left) {
  char bytes[16 << 10];
  const auto read_until = [&](auto complete) {
    while (!complete()) {
      const ssize_t count = ::recv(socket, bytes, sizeof bytes, 0);
      if (count <= 0) return false;
      left.append(bytes, static_cast<std::size_t>(count));
    }
    return true;
  };
  if (!read_until([&] { return left.find("\r\n\r\n") != std::string::npos; })) return {};
  const std::size_t body_at = left.find("\r\n\r\n") + 4;
  Received request = parse_head(std::string_view(left).substr(0, body_at - 2));
  const std::size_t length = std::strtoull(request.header("content-length").c_str(), nullptr, 10);
  if (!read_until([&] { return left.size() >= body_at + length; })) return {};
  request.body = left.substr(body_at, length);
  left.erase(0, body_at + length);
  return request;
}

}  // namespace

LoopbackServer::LoopbackServer(Serve serve) : serve_(std::move(serve)) {
  std::tie(listener_, port_) = bind_to_free_port();
  if (::listen(listener_, 64) != 0) std::abort();
  acceptor_ = std::thread([this] { accept_connections(); });
}

LoopbackServer::~LoopbackServer() {
  ::shutdown(listener_, SHUT_RDWR);
  acceptor_.join();
  std::vector<std::thread> threads;
  {
    const MutexLock lock(mutex_);
    for (const int socket : sockets_) ::shutdown(socket, SHUT_RDWR);
    threads.swap(threads_);
  }
  for (std::thread& thread : threads) thread.join();
  ::close(listener_);
}

void LoopbackServer::accept_connections() {
  for (int socket = 0; (socket = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC)) >= 0;) {
    const MutexLock lock(mutex_);
    sockets_.push_back(socket);
    threads_.emplace_back([this, socket] { serve_connection(socket); });
  }
}

void LoopbackServer::serve_connection(int socket) {
  std::string left;
  while (const auto request = read_request(socket, left)) {
    Serve serve;
    {
      const MutexLock lock(mutex_);
      received_.push_back(*request);
      changed_.notify_all();
      serve = serve_;
    }
    if (!reply(socket, serve(*request))) break;
  }
  const MutexLock lock(mutex_);
  sockets_.erase(std::find(sockets_.begin(), sockets_.end(), socket));
  ::close(socket);
  ++hangups_;
  changed_.notify_all();
}

// Whether the connection goes on.
bool LoopbackServer::reply(int socket, const Reply& reply) {
  switch (reply.way) {
    case Reply::Way::answer:
      return send_all(socket, text_of(reply));
    case Reply::Way::answer_and_close:
      send_all(socket, text_of(reply));
      return false;
    case Reply::Way::raw:
      send_all(socket, reply.body);
      return false;
    case Reply::Way::drip:
      return send_dripping(socket, text_of(reply));
    case Reply::Way::hang:
      drain(socket);
      return false;
    case Reply::Way::reset:
      reset(socket);
      return false;
  }
  return false;
}

void LoopbackServer::serve_with(Serve serve) {
  const MutexLock lock(mutex_);
  serve_ = std::move(serve);
}

std::string LoopbackServer::url(const std::string& path) const { return loopback_url(port_, path); }

std::vector<Received> LoopbackServer::received() const {
  const MutexLock lock(mutex_);
  return received_;
}

int LoopbackServer::connections() const {
  const MutexLock lock(mutex_);
  return static_cast<int>(threads_.size());
}

bool LoopbackServer::wait_for_requests(std::size_t count) const {
  const MutexLock lock(mutex_);
  const auto deadline = std::chrono::steady_clock::now() + kLongTime;
  while (received_.size() < count && std::chrono::steady_clock::now() < deadline) {
    changed_.wait_until(mutex_, deadline);
  }
  return received_.size() >= count;
}

bool LoopbackServer::wait_for_hangups(int count) const {
  const MutexLock lock(mutex_);
  const auto deadline = std::chrono::steady_clock::now() + kLongTime;
  while (hangups_ < count && std::chrono::steady_clock::now() < deadline) {
    changed_.wait_until(mutex_, deadline);
  }
  return hangups_ >= count;
}

std::string refusing_url(const std::string& path) {
  const auto [socket, port] = bind_to_free_port();
  ::close(socket);
  return loopback_url(port, path);
}

}  // namespace log_aggregator::testing
