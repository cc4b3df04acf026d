// HttpRequest, HttpResponse and HttpHandler: what the routes see of HTTP. Nothing here knows a
// socket, so that a route is tested by calling it.

#pragma once

#include <functional>
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

struct HttpResponse {
  int status = 200;
  std::string body;
  // Besides those that every answer has. Values must be our own, never a client's.
  HttpHeaders headers;
  std::string_view content_type = "application/json";
};

// A request that is refused, and why, in words for its sender.
struct HttpError {
  int status = 400;
  std::string reason;
};

// {"error":"..."}
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
