// What needs other limits than the program has; the rest of the server is tested through the
// program, by tests/collector.

#include "collector/http/server.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <future>
#include <string>
#include <thread>

namespace log_aggregator::collector {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;
using testing::StartsWith;

// Answers with the length of the body; a request for /held waits until it is let go.
class FakeHandler : public HttpHandler {
 public:
  std::optional<HttpResponse> refuse(const HttpRequest& /*head*/) override { return std::nullopt; }
  void handle(HttpRequest request, Respond respond) override {
    if (request.path == "/held") {
      held.set_value(std::move(respond));
    } else {
      respond({200, std::to_string(request.body.size()), {}});
    }
  }

  std::promise<Respond> held;
};

class Client {
 public:
  explicit Client(const std::string& url) : socket_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(std::stoi(url.substr(url.rfind(':') + 1))));
    inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
    connected_ = connect(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  }
  ~Client() { close(socket_); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  bool connected() const { return connected_; }
  void send(std::string_view text) { EXPECT_TRUE(try_send(text)); }
  // False where the server has closed the connection.
  bool try_send(std::string_view text) {
    return ::send(socket_, text.data(), text.size(), MSG_NOSIGNAL) ==
           static_cast<ssize_t>(text.size());
  }
  // All until the server closes the connection.
  std::string receive() {
    std::string text;
    char chunk[4096];
    for (ssize_t size = 0; (size = recv(socket_, chunk, sizeof chunk, 0)) > 0;) {
      text.append(chunk, static_cast<std::size_t>(size));
    }
    return text;
  }

 private:
  int socket_;
  bool connected_ = false;
};

class HttpServerTest : public testing::Test {
 protected:
  void start() {
    auto listening = HttpServer::listen(options_);
    ASSERT_TRUE(listening.ok()) << listening.status().message();
    server_ = std::move(listening).value();
    server_->serve(handler_);
  }

  HttpServerOptions options_;
  FakeHandler handler_;
  std::unique_ptr<HttpServer> server_;
};

constexpr const char* kHead = "POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n";

TEST_F(HttpServerTest, AnswersPipelinedRequestsInOrder) {
  start();
  Client client(server_->url());
  client.send(
      "POST / HTTP/1.1\r\nContent-Length: 1\r\n\r\nxPOST / HTTP/1.1\r\nContent-Length: 3\r\n"
      "Connection: close\r\n\r\nxxx");
  const std::string answers = client.receive();
  EXPECT_THAT(answers, HasSubstr("\r\n\r\n1HTTP/1.1 200"));
  EXPECT_THAT(answers, HasSubstr("\r\n\r\n3"));
}

TEST_F(HttpServerTest, ClosesAConnectionWhoseHeadersTakeTooLongHoweverTheyTrickle) {
  options_.header_timeout = milliseconds(100);
  start();
  Client client(server_->url());
  std::thread dripping([&] {
    for (int i = 0; i < 1'000 && client.try_send("X"); ++i) {
      std::this_thread::sleep_for(milliseconds(5));
    }
  });
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(client.receive(), "");
  dripping.join();
  EXPECT_LT(std::chrono::steady_clock::now() - begin, milliseconds(4'000));
}

TEST_F(HttpServerTest, ClosesAConnectionWhoseBodyTakesTooLong) {
  options_.body_timeout = milliseconds(100);
  start();
  Client client(server_->url());
  client.send(std::string(kHead) + "Content-Length: 10\r\n\r\nabc");
  EXPECT_EQ(client.receive(), "");
}

TEST_F(HttpServerTest, ClosesAnIdleConnection) {
  options_.idle_timeout = milliseconds(50);
  start();
  Client client(server_->url());
  EXPECT_EQ(client.receive(), "");
}

TEST_F(HttpServerTest, RefusesALongBody) {
  options_.max_body_bytes = 10;
  start();
  Client stated(server_->url());
  stated.send(std::string(kHead) + "Content-Length: 11\r\n\r\n01234567890");
  EXPECT_THAT(stated.receive(), StartsWith("HTTP/1.1 413"));
  Client chunked(server_->url());
  chunked.send(std::string(kHead) +
               "Transfer-Encoding: chunked\r\n\r\n6\r\n012345\r\n6\r\n012345\r\n");
  EXPECT_THAT(chunked.receive(), StartsWith("HTTP/1.1 413"));
}

TEST_F(HttpServerTest, RefusesBodiesBeyondTheSumOfAll) {
  options_.max_total_body_bytes = 100;
  start();
  Client holding(server_->url());
  holding.send("POST /held HTTP/1.1\r\nConnection: close\r\nContent-Length: 60\r\n\r\n" +
               std::string(60, 'x'));
  auto respond = handler_.held.get_future().get();
  Client refused(server_->url());
  refused.send(std::string(kHead) + "Content-Length: 50\r\n\r\n" + std::string(50, 'x'));
  const std::string answer = refused.receive();
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 503"));
  EXPECT_THAT(answer, HasSubstr("Retry-After: 1"));
  Client fits(server_->url());
  fits.send(std::string(kHead) + "Content-Length: 40\r\n\r\n" + std::string(40, 'x'));
  EXPECT_THAT(fits.receive(), StartsWith("HTTP/1.1 200"));
  respond({200, "done", {}});
  EXPECT_THAT(holding.receive(), HasSubstr("done"));
  Client again(server_->url());
  again.send(std::string(kHead) + "Content-Length: 90\r\n\r\n" + std::string(90, 'x'));
  EXPECT_THAT(again.receive(), StartsWith("HTTP/1.1 200"));
}

TEST_F(HttpServerTest, ClosesConnectionsBeyondTheMost) {
  options_.max_connections = 1;
  start();
  Client first(server_->url());
  first.send("GET /held HTTP/1.1\r\nConnection: close\r\n\r\n");
  auto respond = handler_.held.get_future().get();
  Client second(server_->url());
  EXPECT_EQ(second.receive(), "");
  respond({200, "first", {}});
  EXPECT_THAT(first.receive(), HasSubstr("first"));
}

TEST_F(HttpServerTest, StopAnswersWhatIsUnderWayAndThenListensNoMore) {
  start();
  Client client(server_->url());
  client.send("GET /held HTTP/1.1\r\n\r\n");
  auto respond = handler_.held.get_future().get();
  auto stopped = std::async(std::launch::async, [&] { server_->stop(); });
  respond({200, "last words", {}});
  EXPECT_THAT(client.receive(), HasSubstr("last words"));
  stopped.get();
  EXPECT_FALSE(Client(server_->url()).connected());
}

TEST_F(HttpServerTest, StopDoesNotWaitForRequestsThatNeverArriveInFull) {
  options_.stop_timeout = milliseconds(50);
  start();
  Client client(server_->url());
  client.send(std::string(kHead) + "Expect: 100-continue\r\nContent-Length: 10\r\n\r\n");
  server_->stop();
}

TEST_F(HttpServerTest, AServerThatNeverServedStops) {
  auto listening = HttpServer::listen(options_);
  ASSERT_TRUE(listening.ok());
  listening.value()->stop();
}

TEST_F(HttpServerTest, KeepsToLoopbackWhereThatIsAsked) {
  options_.loopback_only = true;
  for (const char* open : {"0.0.0.0", "::"}) {
    options_.host = open;
    EXPECT_FALSE(HttpServer::listen(options_).ok());
  }
  for (const char* local : {"127.0.0.1", "127.1.2.3", "localhost"}) {
    options_.host = local;
    EXPECT_TRUE(HttpServer::listen(options_).ok());
  }
}

}  // namespace
}  // namespace log_aggregator::collector
