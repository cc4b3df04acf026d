#include "collector/http/api.h"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>
#include <chrono>
#include <exception>
#include <thread>
#include <utility>
#include <variant>

#include "collector/http/gaps.h"
#include "collector/http/histogram.h"
#include "collector/http/log_page.h"
#include "collector/http/query.h"
#include "collector/timestamp.h"
#include "log_aggregator/json_writer.h"

namespace log_aggregator::collector {

namespace {

constexpr std::size_t kQueryThreads = 4;

std::size_t ingest_threads() { return std::clamp(std::thread::hardware_concurrency(), 2U, 8U); }

HttpResponse unauthorized(Access access) {
  HttpResponse response = error_response(
      {401, access == Access::missing ? "a token is required" : "the token is not valid"});
  response.headers.emplace_back("WWW-Authenticate", "Bearer realm=\"log-aggregator\"");
  response.headers.emplace_back("WWW-Authenticate", "Basic realm=\"log-aggregator\"");
  return response;
}

HttpResponse too_many_guesses(std::chrono::seconds wait) {
  HttpResponse response = error_response({429, "too many wrong tokens came from this address"});
  response.headers.emplace_back("Retry-After", std::to_string(wait.count()));
  return response;
}

// Runs `work`, which makes the answer; if memory runs out or a library throws, the request is
// refused and the process lives on.
template <typename Work>
void answer(const HttpHandler::Respond& respond, const Work& work) {
  try {
    work();
  } catch (const std::exception& error) {
    respond(error_response({503, std::string("internal error: ") + error.what()}));
  }
}

// The answer to a query of the store, once its parameters are read.
template <typename Parsed, typename Find, typename Write>
HttpResponse ask_store(const std::variant<Parsed, HttpError>& parsed, const Find& find,
                       const Write& write) {
  if (const auto* error = std::get_if<HttpError>(&parsed)) return error_response(*error);
  const auto found = find(std::get<Parsed>(parsed));
  if (!found.ok()) return error_response({503, "the store failed: " + found.status().message()});
  return write(found.value());
}

// A path that ends in "*" leads to all with one more segment in its place.
bool leads_to(std::string_view path, std::string_view route) {
  if (!route.ends_with('*')) return path == route;
  route.remove_suffix(1);
  return path.starts_with(route) && path.find('/', route.size()) == std::string_view::npos;
}

}  // namespace

struct Api::Pools {
  boost::asio::thread_pool ingest{ingest_threads()};
  boost::asio::thread_pool query{kQueryThreads};
};

struct Api::Route {
  std::string_view method;
  std::string_view path;
  void (Api::*handle)(HttpRequest&&, const Respond&);
  // Whether a request without any token is served although tokens are wanted.
  bool is_public = false;
};

Api::Api(Store& store, TokenSet tokens, std::string version, Site site, IngestLimits limits)
    : store_(store),
      site_(std::move(site)),
      tokens_(std::move(tokens)),
      version_(std::move(version)),
      limits_(limits),
      tails_(store),
      pools_(std::make_unique<Pools>()) {}

Api::~Api() {
  pools_->ingest.join();
  pools_->query.join();
}

const Api::Route* Api::find_route(const HttpRequest& request) {
  static constexpr Route kRoutes[] = {
      {"GET", "/api/health", &Api::health, true}, {"POST", "/api/logs", &Api::ingest},
      {"GET", "/api/logs", &Api::query},          {"GET", "/api/logs/stream", &Api::stream},
      {"GET", "/api/logs/*", &Api::record},       {"GET", "/api/histogram", &Api::histogram},
      {"GET", "/api/gaps", &Api::gaps},           {"GET", "/", &Api::log_page},
      {"GET", "/app.js", &Api::log_page},         {"GET", "/app.css", &Api::log_page},
      {"GET", "/icon.svg", &Api::log_page},       {"GET", "/metrics", &Api::metrics},
  };
  const Route* same_path = nullptr;
  for (const Route& route : kRoutes) {
    if (!leads_to(request.path, route.path)) continue;
    same_path = &route;
    if (route.method == request.method) return &route;
  }
  // A route of the path with another method tells 405 from 404.
  return same_path;
}

std::optional<HttpResponse> Api::refuse(const HttpRequest& head) {
  if (auto error = site_.refuse(head)) return error_response(*error);
  const Route* route = find_route(head);
  if (route == nullptr) return error_response({404, "there is nothing at this path"});
  const Access access = tokens_.check(head.header("Authorization"));
  const bool enters = access == Access::granted || (access == Access::missing && route->is_public);
  if (!enters) return refuse_access(head, access);
  if (route->method != head.method) {
    HttpResponse response = error_response({405, "this path does not take this method"});
    const bool is_logs = route->path == "/api/logs";
    response.headers.emplace_back("Allow", is_logs ? "GET, POST" : "GET");
    return response;
  }
  if (head.method != "POST") return std::nullopt;
  if (auto error = check_ingest_headers(head)) return error_response(*error);
  return std::nullopt;
}

HttpResponse Api::refuse_access(const HttpRequest& head, Access access) {
  if (access == Access::wrong) {
    const auto shown = head.header("Authorization").value_or("");
    if (auto wait = guesses_.add(head.client_address, shown)) return too_many_guesses(*wait);
  }
  return unauthorized(access);
}

void Api::handle(HttpRequest request, Respond respond) {
  if (auto refusal = refuse(request)) {
    respond(*std::move(refusal));
    return;
  }
  const Route* route = find_route(request);
  (this->*route->handle)(std::move(request), timed(*route, std::move(respond)));
}

void Api::answered(int status) { metrics_.count_answer(status); }

// Responds as `respond` does, and counts how long that took.
HttpHandler::Respond Api::timed(const Route& route, Respond respond) {
  return [this, name = std::string(route.method) + " " + std::string(route.path),
          begin = std::chrono::steady_clock::now(),
          respond = std::move(respond)](HttpResponse response) {
    metrics_.observe_request(name, std::chrono::steady_clock::now() - begin);
    respond(std::move(response));
  };
}

void Api::health(HttpRequest&& /*request*/, const Respond& respond) { respond(health_response()); }

HttpResponse Api::health_response() const {
  JsonWriter json;
  json.begin_object();
  json.key("status");
  json.string("ok");
  json.key("version");
  json.string(version_);
  json.key("batch");
  json.begin_object();
  json.key("max_records");
  json.integer(static_cast<std::int64_t>(limits_.max_records));
  json.key("max_bytes");
  json.integer(static_cast<std::int64_t>(limits_.max_bytes));
  json.end_object();
  json.key("formats");
  json.raw(R"(["array","ndjson"])");
  json.key("encodings");
  json.raw(R"(["zstd","gzip"])");
  json.end_object();
  return {200, std::string(json.text()), {}};
}

void Api::ingest(HttpRequest&& request, const Respond& respond) {
  boost::asio::post(pools_->ingest, [this, request = std::move(request), respond]() mutable {
    answer(respond, [&] {
      auto parsed = parse_ingest(std::move(request), limits_, now_microseconds());
      if (const auto* error = std::get_if<HttpError>(&parsed)) {
        respond(error_response(*error));
        return;
      }
      auto& [batch, bad] = std::get<Ingest>(parsed);
      if (batch.records.empty() && batch.skipped.empty()) {
        metrics_.count_records(0, 0, bad.size());
        respond(ingest_response({}, bad));
        return;
      }
      store_.append(std::move(batch),
                    [this, respond, bad = std::move(bad)](const Appended& appended) {
                      if (appended.status.ok()) {
                        metrics_.count_records(appended.stored, appended.duplicates, bad.size());
                      }
                      respond(ingest_response(appended, bad));
                    });
    });
  });
}

void Api::query(HttpRequest&& request, const Respond& respond) {
  boost::asio::post(pools_->query, [this, request = std::move(request), respond] {
    answer(respond, [&] {
      const auto find = [&](const Query& query) { return store_.query(query); };
      respond(ask_store(parse_log_query(request.query), find, page_response));
    });
  });
}

void Api::record(HttpRequest&& request, const Respond& respond) {
  boost::asio::post(pools_->query, [this, request = std::move(request), respond] {
    answer(respond, [&] {
      const auto find = [&](std::int64_t id) { return store_.find(id); };
      respond(ask_store(parse_record_id(request.path), find, record_response));
    });
  });
}

void Api::histogram(HttpRequest&& request, const Respond& respond) {
  boost::asio::post(pools_->query, [this, request = std::move(request), respond] {
    answer(respond, [&] {
      const auto parsed = parse_histogram_query(request.query, now_microseconds());
      const auto find = [&](const HistogramQuery& query) { return store_.histogram(query); };
      respond(ask_store(parsed, find, [&](const std::vector<HistogramCount>& counts) {
        return histogram_response(std::get<HistogramQuery>(parsed), counts);
      }));
    });
  });
}

void Api::stream(HttpRequest&& request, const Respond& respond) {
  boost::asio::post(pools_->query, [this, request = std::move(request), respond] {
    answer(respond, [&] { respond(stream_response(request)); });
  });
}

HttpResponse Api::stream_response(const HttpRequest& request) {
  const auto parsed = parse_stream_query(request);
  if (const auto* error = std::get_if<HttpError>(&parsed)) return error_response(*error);
  const auto& query = std::get<StreamQuery>(parsed);
  HttpResponse response;
  response.content_type = "text/event-stream";
  response.stream = tails_.open(query, query.after);
  if (response.stream) return response;
  response = error_response({503, "too many streams are open"});
  response.headers.emplace_back("Retry-After", "10");
  return response;
}

void Api::log_page(HttpRequest&& request, const Respond& respond) {
  respond(log_page_response(request.path));
}

void Api::gaps(HttpRequest&& request, const Respond& respond) {
  boost::asio::post(pools_->query, [this, request = std::move(request), respond] {
    answer(respond, [&] {
      const auto find = [&](const GapsQuery& query) { return store_.gaps(query); };
      respond(ask_store(parse_gaps_query(request.query), find, gaps_response));
    });
  });
}

void Api::metrics(HttpRequest&& /*request*/, const Respond& respond) {
  constexpr std::string_view kTextFormat = "text/plain; version=0.0.4; charset=utf-8";
  std::string text = metrics_.text({store_.size_bytes(), tails_.count(), tails_.missed()});
  respond({200, std::move(text), {}, kTextFormat});
}

}  // namespace log_aggregator::collector
