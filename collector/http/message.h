// HttpRequest, HttpResponse and HttpHandler: what the routes see of HTTP. Nothing here knows a
// socket, so that a route is tested by calling it.

#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace log_aggregator::collector {

using HttpHeaders = std::vector<std::pair<std::string, std::string>>;

struct HttpRequest {
  std::string method;
  std::string path;   // without the query; not decoded
  std::string query;  // what follows the "?"; not decoded
  HttpHeaders headers;
  std::string body;
  std::string client_address;  // the IP address that it came from

  // The first header of this name in any case; nothing where there is none.
  std::optional<std::string_view> header(std::string_view name) const;
};

// A body without an end, such as a stream of events: it is sent as it comes, until the client is
// gone or the server stops. The server calls it on its own thread.
class HttpStream {
 public:
  using Wake = std::function<void()>;

  virtual ~HttpStream() = default;

  // From now on `wake` is to be called, from any thread, when there is something to read where
  // there was nothing.
  virtual void start(Wake wake) = 0;
  // Not any more, once this has returned.
  virtual void stop() = 0;

  // What there is to send by now; empty: nothing.
  virtual std::string read() = 0;

  // What to send when there has been nothing for a while, to see whether the client is there.
  virtual std::string_view keep_alive() const = 0;
};

struct HttpResponse {
  int status = 200;
  std::string body;
  // Besides those that every answer has. Values must be our own, never a client's.
  HttpHeaders headers;
  std::string_view content_type = "application/json";
  std::shared_ptr<HttpStream> stream = nullptr;  // if any, it comes in the place of `body`
};

// A request that is refused, and why, in words for its sender.
struct HttpError {
  // What of a parameter is wrong, in characters from 0.
  struct Place {
    std::size_t position = 0;
    std::size_t length = 0;
  };

  int status = 400;
  std::string reason;
  std::optional<Place> place = std::nullopt;
};

// {"error":"..."}, with "position" and "length" where the error has a place.
HttpResponse error_response(const HttpError& error);

// Answers requests. The server calls it on its own thread, which must not wait: what takes time
// goes elsewhere, and `respond` is called from there.
class HttpHandler {
 public:
  using Respond = std::function<void(HttpResponse)>;

  virtual ~HttpHandler() = default;

  // Whether to refuse a request by its headers alone, before its body is read.
  virtual std::optional<HttpResponse> refuse(const HttpRequest& head) = 0;

  // Must call `respond` exactly once, from any thread.
  virtual void handle(HttpRequest request, Respond respond) = 0;

  // An answer with this status leaves: one of the handler's, or the server's own to a request that
  // it refused. On the server's thread.
  virtual void answered(int /*status*/) {}
};

}  // namespace log_aggregator::collector
