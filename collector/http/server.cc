// Boost 1.74 uses std::exchange in its coroutines without including <utility>.
#include "collector/http/server.h"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>
#include <exception>
#include <optional>
#include <string_view>
#include <thread>
#include <unordered_set>
#include <utility>

#include "src/base/text.h"

namespace log_aggregator::collector {

namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using asio::ip::tcp;
using beast::error_code;

using Response = http::response<http::string_body>;

constexpr std::size_t kReadBytes = 16 << 10;
constexpr std::size_t kChunkBytes = 64 << 10;
// What a refused client may still send before it has read our answer.
constexpr std::size_t kMaxDiscardedBytes = 64 << 20;
constexpr std::chrono::seconds kDiscardTimeout(3);

// Refuses headers that go on in a next line. Beast joins the lines, as it may; other servers ignore
// the second one, or take it for a header.
class Parser final : public http::request_parser<http::string_body> {
  void on_field_impl(http::field field, beast::string_view name, beast::string_view value,
                     error_code& error) override {
    const char* begin = name.data() + name.size() + 1;  // behind the colon
    while (*begin == ' ' || *begin == '\t') ++begin;
    if (begin != value.data()) {
      error = http::error::bad_value;
      return;
    }
    get().insert(field, name, value);
  }
};

std::string to_string(beast::string_view text) { return {text.data(), text.size()}; }

HttpRequest take_request(Parser::value_type& message) {
  HttpRequest request;
  request.method = to_string(message.method_string());
  const std::string target = to_string(message.target());
  const auto question = target.find('?');
  request.path = target.substr(0, question);
  if (question != std::string::npos) request.query = target.substr(question + 1);
  for (const auto& field : message) {
    request.headers.emplace_back(to_string(field.name_string()), to_string(field.value()));
  }
  request.body = std::move(message.body());
  return request;
}

// The headers of an answer, for a message of any body.
template <typename Message>
Message make_head(const HttpResponse& answer, bool keep_alive) {
  Message response(static_cast<http::status>(answer.status), 11);
  response.set(http::field::content_type,
               beast::string_view(answer.content_type.data(), answer.content_type.size()));
  response.set("X-Content-Type-Options", "nosniff");
  response.set(http::field::cache_control, "no-store");
  for (const auto& [name, value] : answer.headers) response.insert(name, value);
  response.keep_alive(keep_alive);
  return response;
}

Response make_response(HttpResponse&& answer, bool keep_alive) {
  auto response = make_head<Response>(answer, keep_alive);
  response.body() = std::move(answer.body);
  response.prepare_payload();
  return response;
}

// The answer to a request that could not be read; nothing where the connection is gone.
std::optional<HttpError> read_error(const error_code& error) {
  if (error == http::error::header_limit) return HttpError{431, "the headers are too long"};
  if (error == http::error::body_limit) return HttpError{413, "the body is too long"};
  if (error == beast::error::timeout) return std::nullopt;  // and has closed the socket
  const bool is_http =
      error.category() == http::make_error_code(http::error::bad_version).category();
  const bool is_cut = error == http::error::end_of_stream || error == http::error::partial_message;
  if (is_http && !is_cut) return HttpError{400, "this is not a valid HTTP request"};
  return std::nullopt;
}

bool is_expecting_continue(const HttpRequest& request) {
  return equal_ignoring_case(request.header("Expect").value_or(""), "100-continue");
}

// Whether servers may disagree about where the body ends: anything but one length, or chunks alone.
bool is_ambiguous(const HttpRequest& head) {
  int framing_headers = 0;
  for (const auto& [name, value] : head.headers) {
    const bool is_length = equal_ignoring_case(name, "Content-Length");
    const bool is_encoding = equal_ignoring_case(name, "Transfer-Encoding");
    if (is_length && value.find(',') != std::string::npos) return true;
    if (is_encoding && !equal_ignoring_case(value, "chunked")) return true;
    if (is_length || is_encoding) ++framing_headers;
  }
  return framing_headers > 1;
}

// The bytes that may still come, at most: of chunks nobody says how many.
std::size_t expected_body_bytes(const Parser& parser, std::size_t most) {
  return parser.chunked() ? most : parser.content_length_remaining().value_or(0);
}

// Holds a part of a sum while it lives.
class Share {
 public:
  Share(std::size_t& sum, std::size_t part) : sum_(sum), part_(part) { sum_ += part_; }
  ~Share() { sum_ -= part_; }
  Share(const Share&) = delete;
  Share& operator=(const Share&) = delete;

 private:
  std::size_t& sum_;
  const std::size_t part_;
};

}  // namespace

class HttpServer::Impl {
 public:
  explicit Impl(HttpServerOptions options) : options_(std::move(options)) {}
  ~Impl() { stop(); }

  Status listen();
  void serve(HttpHandler& handler);
  void stop();
  const std::string& url() const { return url_; }

 private:
  struct Connection {
    Connection(tcp::socket socket, std::string address)
        : stream(std::move(socket)), client_address(std::move(address)) {}
    beast::tcp_stream stream;
    const std::string client_address;
    beast::flat_buffer buffer;
    bool idle = false;  // between two requests
    // Cancelled when its stream has something to send, or has to end; only while it has a stream.
    asio::steady_timer* wake = nullptr;
  };

  // What wakes a connection that sends a stream; outlives it, since others hold it.
  struct StreamWaker {
    explicit StreamWaker(asio::io_context& io) : timer(io) {}
    asio::steady_timer timer;
    bool is_gone = false;  // the client
  };

  // What a handler fills in from its own thread, by way of ours.
  struct Answer {
    explicit Answer(asio::io_context& io) : ready(io, asio::steady_timer::time_point::max()) {}
    asio::steady_timer ready;  // cancelled when the response is there
    HttpResponse response;
  };

  Result<tcp::endpoint> resolve();
  Status bind(const tcp::endpoint& endpoint);
  void begin_stop();
  void end_if_done();

  asio::awaitable<void> accept_connections();
  asio::awaitable<void> accept_connection();
  asio::awaitable<void> serve_connection(std::shared_ptr<Connection> connection);
  asio::awaitable<bool> wait_for_request(Connection& connection);
  asio::awaitable<bool> serve_request(Connection& connection);
  asio::awaitable<HttpResponse> ask_handler(HttpRequest request);
  asio::awaitable<bool> write(Connection& connection, HttpResponse answer, bool keep_alive);
  asio::awaitable<void> write_stream(Connection& connection, HttpResponse answer);
  asio::awaitable<void> write_parts(Connection& connection, HttpStream& body, StreamWaker& waker);
  asio::awaitable<bool> write_chunks(Connection& connection, std::string_view text);
  asio::awaitable<void> refuse(Connection& connection, HttpResponse answer);
  asio::awaitable<void> discard_rest(Connection& connection);

  const HttpServerOptions options_;
  HttpHandler* handler_ = nullptr;  // constant once thread_ runs
  std::string url_;
  std::thread thread_;

  // All below belongs to thread_ once it runs.
  asio::io_context io_{1};
  tcp::acceptor acceptor_{io_};
  asio::steady_timer stop_timer_{io_};
  std::unordered_set<Connection*> connections_;
  std::size_t body_bytes_ = 0;  // that requests under way may fill
  bool accepting_ = true;       // a connection may still come, also just after stopping_ was set
  bool stopping_ = false;
};

Status HttpServer::Impl::listen() {
  const auto endpoint = resolve();
  if (!endpoint.ok()) return endpoint.status();
  if (options_.loopback_only && !endpoint->address().is_loopback()) {
    return Status::invalid_argument(
        "to listen on " + options_.host +
        ", which others can reach, a token file is required (or listen on 127.0.0.1)");
  }
  return bind(endpoint.value());
}

void HttpServer::Impl::serve(HttpHandler& handler) {
  handler_ = &handler;
  asio::co_spawn(io_, accept_connections(), asio::detached);
  thread_ = std::thread([this] { io_.run(); });
}

Result<tcp::endpoint> HttpServer::Impl::resolve() {
  error_code error;
  tcp::resolver resolver(io_);
  const auto found =
      resolver.resolve(options_.host, std::to_string(options_.port), tcp::resolver::passive, error);
  if (error || found.empty()) {
    return Status::invalid_argument("cannot listen on " + options_.host + ": no such address");
  }
  return found.begin()->endpoint();
}

Status HttpServer::Impl::bind(const tcp::endpoint& endpoint) {
  error_code error;
  acceptor_.open(endpoint.protocol(), error);
  if (!error) acceptor_.set_option(asio::socket_base::reuse_address(true), error);
  if (!error) acceptor_.bind(endpoint, error);
  if (!error) acceptor_.listen(asio::socket_base::max_listen_connections, error);
  const std::string address = endpoint.address().is_v6()
                                  ? "[" + endpoint.address().to_string() + "]"
                                  : endpoint.address().to_string();
  if (error) {
    return Status::unavailable("cannot listen on " + address + ":" +
                               std::to_string(endpoint.port()) + ": " + error.message());
  }
  url_ = "http://" + address + ":" + std::to_string(acceptor_.local_endpoint().port());
  return {};
}

void HttpServer::Impl::stop() {
  if (!thread_.joinable()) return;
  asio::post(io_, [this] { begin_stop(); });
  thread_.join();
}

void HttpServer::Impl::begin_stop() {
  stopping_ = true;
  error_code ignored;
  acceptor_.close(ignored);
  for (Connection* connection : connections_) {
    if (connection->idle) connection->stream.cancel();
    if (connection->wake != nullptr) connection->wake->cancel();
  }
  stop_timer_.expires_after(options_.stop_timeout);
  stop_timer_.async_wait([this](const error_code& cancelled) {
    if (cancelled) return;
    for (Connection* connection : connections_) connection->stream.close();
  });
}

// The last one to leave lets run() end before the timer does.
void HttpServer::Impl::end_if_done() {
  if (stopping_ && !accepting_ && connections_.empty()) stop_timer_.cancel();
}

asio::awaitable<void> HttpServer::Impl::accept_connections() {
  while (!stopping_) co_await accept_connection();
  accepting_ = false;
  end_if_done();
}

asio::awaitable<void> HttpServer::Impl::accept_connection() {
  error_code error;
  tcp::socket socket =
      co_await acceptor_.async_accept(asio::redirect_error(asio::use_awaitable, error));
  if (error == asio::error::operation_aborted) co_return;
  if (error) {
    // Out of file descriptors, most likely: trying again at once would spin.
    asio::steady_timer pause(io_, std::chrono::milliseconds(100));
    co_await pause.async_wait(asio::redirect_error(asio::use_awaitable, error));
    co_return;
  }
  if (connections_.size() >= options_.max_connections) co_return;  // closes it
  socket.set_option(tcp::no_delay(true), error);
  const auto client = socket.remote_endpoint(error);
  if (error) co_return;  // it is gone already
  auto connection = std::make_shared<Connection>(std::move(socket), client.address().to_string());
  connections_.insert(connection.get());
  asio::co_spawn(io_, serve_connection(std::move(connection)), asio::detached);
}

asio::awaitable<void> HttpServer::Impl::serve_connection(std::shared_ptr<Connection> connection) {
  try {
    while (co_await wait_for_request(*connection)) {
      if (!co_await serve_request(*connection)) break;
    }
  } catch (const std::exception&) {
    // Out of memory: this connection ends, the others go on.
  }
  connections_.erase(connection.get());
  end_if_done();
}

// Waits for the first bytes of a request; false where none will come.
asio::awaitable<bool> HttpServer::Impl::wait_for_request(Connection& connection) {
  if (connection.buffer.size() > 0) co_return true;  // sent ahead of our answer
  beast::tcp_stream& stream = connection.stream;
  error_code error;
  // On the way out, what has already arrived is served and nothing is waited for.
  if (stopping_ && stream.socket().available(error) == 0) co_return false;
  stream.expires_after(options_.idle_timeout);
  connection.idle = true;
  std::size_t received = co_await stream.async_read_some(
      connection.buffer.prepare(kReadBytes), asio::redirect_error(asio::use_awaitable, error));
  connection.idle = false;
  if (error == asio::error::operation_aborted && stopping_) {
    error_code gone;
    if (stream.socket().available(gone) == 0) co_return false;
    received = stream.read_some(connection.buffer.prepare(kReadBytes), error);
  }
  if (error) co_return false;
  connection.buffer.commit(received);
  co_return true;
}

// False where the connection ends with this request.
asio::awaitable<bool> HttpServer::Impl::serve_request(Connection& connection) {
  beast::tcp_stream& stream = connection.stream;
  Parser parser;
  parser.header_limit(static_cast<std::uint32_t>(options_.max_header_bytes));
  parser.body_limit(options_.max_body_bytes);

  error_code error;
  stream.expires_after(options_.header_timeout);
  co_await http::async_read_header(stream, connection.buffer, parser,
                                   asio::redirect_error(asio::use_awaitable, error));
  if (error) {
    if (auto answer = read_error(error)) co_await refuse(connection, error_response(*answer));
    co_return false;
  }

  HttpRequest head = take_request(parser.get());
  head.client_address = connection.client_address;
  if (is_ambiguous(head)) {
    // Not within the co_await: g++ 12 destroys what stands in braces there twice.
    HttpResponse answer = error_response({400, "the length of the body is ambiguous"});
    co_await refuse(connection, std::move(answer));
    co_return false;
  }
  const std::size_t expected_bytes = expected_body_bytes(parser, options_.max_body_bytes);
  if (auto refusal = handler_->refuse(head)) {
    if (expected_bytes > 0) {
      co_await refuse(connection, *std::move(refusal));
      co_return false;
    }
    const bool keep = parser.get().keep_alive() && !stopping_;
    co_return co_await write(connection, *std::move(refusal), keep);
  }

  if (expected_bytes > options_.max_total_body_bytes - body_bytes_) {
    HttpResponse busy = error_response({503, "too many requests are under way"});
    busy.headers.emplace_back("Retry-After", "1");
    co_await refuse(connection, std::move(busy));
    co_return false;
  }
  const Share share(body_bytes_, expected_bytes);

  if (is_expecting_continue(head)) {
    http::response<http::empty_body> go_on(http::status::continue_, 11);
    co_await http::async_write(stream, go_on, asio::redirect_error(asio::use_awaitable, error));
    if (error) co_return false;
  }
  stream.expires_after(options_.body_timeout);
  co_await http::async_read(stream, connection.buffer, parser,
                            asio::redirect_error(asio::use_awaitable, error));
  if (error) {
    if (auto answer = read_error(error)) co_await refuse(connection, error_response(*answer));
    co_return false;
  }
  stream.expires_never();
  head.body = std::move(parser.get().body());

  HttpResponse answer = co_await ask_handler(std::move(head));
  if (answer.stream) {
    co_await write_stream(connection, std::move(answer));
    co_return false;
  }
  const bool keep = parser.get().keep_alive() && !stopping_;
  co_return co_await write(connection, std::move(answer), keep);
}

asio::awaitable<HttpResponse> HttpServer::Impl::ask_handler(HttpRequest request) {
  auto answer = std::make_shared<Answer>(io_);
  handler_->handle(std::move(request), [this, answer](HttpResponse response) {
    asio::post(io_, [answer, response = std::move(response)]() mutable {
      answer->response = std::move(response);
      answer->ready.cancel();
    });
  });
  // The post above is served by this thread, so never before the wait has begun.
  error_code cancelled;
  co_await answer->ready.async_wait(asio::redirect_error(asio::use_awaitable, cancelled));
  co_return std::move(answer->response);
}

asio::awaitable<bool> HttpServer::Impl::write(Connection& connection, HttpResponse answer,
                                              bool keep_alive) {
  handler_->answered(answer.status);
  Response response = make_response(std::move(answer), keep_alive);
  error_code error;
  connection.stream.expires_after(options_.write_timeout);
  co_await http::async_write(connection.stream, response,
                             asio::redirect_error(asio::use_awaitable, error));
  co_return !error && keep_alive;
}

// Sends a body without an end, until the client is gone or the server stops.
asio::awaitable<void> HttpServer::Impl::write_stream(Connection& connection, HttpResponse answer) {
  beast::tcp_stream& stream = connection.stream;
  const auto body = std::move(answer.stream);
  auto head = make_head<http::response<http::empty_body>>(answer, false);
  head.chunked(true);
  http::response_serializer<http::empty_body> serializer(head);
  error_code error;
  stream.expires_after(options_.write_timeout);
  co_await http::async_write_header(stream, serializer,
                                    asio::redirect_error(asio::use_awaitable, error));
  if (error) co_return;

  auto waker = std::make_shared<StreamWaker>(io_);
  connection.wake = &waker->timer;
  body->start([this, waker] { asio::post(io_, [waker] { waker->timer.cancel(); }); });
  // A client that sends no more requests can be read from only when it is gone.
  stream.socket().async_wait(tcp::socket::wait_read, [waker](const error_code& /*error*/) {
    waker->is_gone = true;
    waker->timer.cancel();
  });
  co_await write_parts(connection, *body, *waker);
  body->stop();
  connection.wake = nullptr;
  stream.socket().cancel(error);
}

asio::awaitable<void> HttpServer::Impl::write_parts(Connection& connection, HttpStream& body,
                                                    StreamWaker& waker) {
  error_code error;
  while (!stopping_ && !waker.is_gone) {
    const std::string text = body.read();
    if (!text.empty()) {
      if (!co_await write_chunks(connection, text)) co_return;
      continue;
    }
    waker.timer.expires_after(options_.keep_alive_interval);
    // Who wakes it does so on this thread, by a post: never between read() and this wait.
    co_await waker.timer.async_wait(asio::redirect_error(asio::use_awaitable, error));
    if (!error && !co_await write_chunks(connection, body.keep_alive())) co_return;
  }
  connection.stream.expires_after(options_.write_timeout);
  co_await asio::async_write(connection.stream, http::make_chunk_last(),
                             asio::redirect_error(asio::use_awaitable, error));
}

// In parts, so that a client which takes a little now and then is not cut off.
asio::awaitable<bool> HttpServer::Impl::write_chunks(Connection& connection,
                                                     std::string_view text) {
  error_code error;
  while (!text.empty() && !error) {
    const std::string_view part = text.substr(0, kChunkBytes);
    text.remove_prefix(part.size());
    connection.stream.expires_after(options_.write_timeout);
    co_await asio::async_write(connection.stream,
                               http::make_chunk(asio::buffer(part.data(), part.size())),
                               asio::redirect_error(asio::use_awaitable, error));
  }
  connection.stream.expires_never();
  co_return !error;
}

// Answers a request whose body was not read, so that the client gets to see the answer.
asio::awaitable<void> HttpServer::Impl::refuse(Connection& connection, HttpResponse answer) {
  co_await write(connection, std::move(answer), false);
  co_await discard_rest(connection);
}

// Closing a socket with unread data resets it, and the answer may be lost on the way.
asio::awaitable<void> HttpServer::Impl::discard_rest(Connection& connection) {
  beast::tcp_stream& stream = connection.stream;
  error_code error;
  stream.socket().shutdown(tcp::socket::shutdown_send, error);
  stream.expires_after(kDiscardTimeout);
  connection.buffer.clear();
  for (std::size_t discarded = 0; !error && discarded < kMaxDiscardedBytes;) {
    discarded += co_await stream.async_read_some(connection.buffer.prepare(kReadBytes),
                                                 asio::redirect_error(asio::use_awaitable, error));
  }
}

Result<std::unique_ptr<HttpServer>> HttpServer::listen(HttpServerOptions options) {
  auto impl = std::make_unique<Impl>(std::move(options));
  if (Status listening = impl->listen(); !listening.ok()) return listening;
  return std::unique_ptr<HttpServer>(new HttpServer(std::move(impl)));
}

HttpServer::HttpServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

HttpServer::~HttpServer() = default;

void HttpServer::serve(HttpHandler& handler) { impl_->serve(handler); }

const std::string& HttpServer::url() const { return impl_->url(); }

void HttpServer::stop() { impl_->stop(); }

}  // namespace log_aggregator::collector
