// Just enough HTTP for the servers among the examples: one request a connection, its head alone.

#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace http {

// A socket that listens on 127.0.0.1, or -1. Port 0: any that is free.
inline int listen_on(int port) {
  const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int on = 1;
  ::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const bool bound = ::bind(socket, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  if (bound && ::listen(socket, SOMAXCONN) == 0) return socket;
  ::close(socket);
  return -1;
}

inline int port_of(int socket) {
  sockaddr_in address{};
  socklen_t size = sizeof address;
  ::getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size);
  return ntohs(address.sin_port);
}

// The head of a request; what has come where the connection ends earlier.
inline std::string read_head(int connection) {
  constexpr std::size_t kLongest = 16 << 10;
  std::string head;
  char piece[4096];
  while (head.find("\r\n\r\n") == std::string::npos && head.size() < kLongest) {
    const ssize_t size = ::recv(connection, piece, sizeof piece, 0);
    if (size <= 0) break;
    head.append(piece, static_cast<std::size_t>(size));
  }
  return head;
}

// GET /path HTTP/1.1: /path. Empty where it is no such line.
inline std::string_view path_of(std::string_view head) {
  const auto begin = head.find(' ');
  const auto end = head.find(' ', begin + 1);
  return end == std::string_view::npos ? "" : head.substr(begin + 1, end - begin - 1);
}

// The value of a header; empty where there is none.
inline std::string_view header_of(std::string_view head, std::string_view name) {
  for (auto end = head.find("\r\n"); end != std::string_view::npos; end = head.find("\r\n")) {
    head.remove_prefix(end + 2);
    const std::string_view line = head.substr(0, head.find("\r\n"));
    if (line.size() <= name.size() || line[name.size()] != ':') continue;
    if (::strncasecmp(line.data(), name.data(), name.size()) != 0) continue;
    const auto value = line.find_first_not_of(' ', name.size() + 1);
    return value == std::string_view::npos ? "" : line.substr(value);
  }
  return "";
}

// Answers and ends the connection.
inline void answer(int connection, int status, std::string_view body) {
  std::string text = "HTTP/1.1 " + std::to_string(status) + " Answer\r\nConnection: close\r\n" +
                     "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n";
  text += body;
  for (std::string_view left = text; !left.empty();) {
    const ssize_t sent = ::send(connection, left.data(), left.size(), MSG_NOSIGNAL);
    if (sent <= 0) break;
    left.remove_prefix(static_cast<std::size_t>(sent));
  }
  ::close(connection);
}

}  // namespace http
