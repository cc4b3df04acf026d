// Api: the collector's routes, between the HTTP server and a store.
//
// Parsing and queries run on two small pools of threads, so that neither holds up the server's
// thread, nor slow queries the ingest.

#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>

#include "collector/http/auth.h"
#include "collector/http/guess_limiter.h"
#include "collector/http/ingest.h"
#include "collector/http/message.h"
#include "collector/http/metrics.h"
#include "collector/http/site.h"
#include "collector/http/tails.h"
#include "collector/store/store.h"

namespace log_aggregator::collector {

class Api : public HttpHandler {
 public:
  // `store` must outlive it. `version` is what the health answer says.
  Api(Store& store, TokenSet tokens, std::string version, Site site = Site(),
      IngestLimits limits = {});
  // Waits for what is under way.
  ~Api() override;

  std::optional<HttpResponse> refuse(const HttpRequest& head) override;
  void handle(HttpRequest request, Respond respond) override;
  void answered(int status) override;

 private:
  struct Route;
  struct Pools;

  void health(HttpRequest&& request, const Respond& respond);
  void ingest(HttpRequest&& request, const Respond& respond);
  void query(HttpRequest&& request, const Respond& respond);
  void record(HttpRequest&& request, const Respond& respond);
  void stream(HttpRequest&& request, const Respond& respond);
  void histogram(HttpRequest&& request, const Respond& respond);
  void gaps(HttpRequest&& request, const Respond& respond);
  void log_page(HttpRequest&& request, const Respond& respond);
  void metrics(HttpRequest&& request, const Respond& respond);

  static const Route* find_route(const HttpRequest& request);
  HttpResponse refuse_access(const HttpRequest& head, Access access);
  HttpResponse health_response() const;
  Respond timed(const Route& route, Respond respond);
  HttpResponse stream_response(const HttpRequest& request);

  Store& store_;
  const Site site_;
  const TokenSet tokens_;
  GuessLimiter guesses_;  // used by the server's thread only
  const std::string version_;
  const IngestLimits limits_;
  Metrics metrics_;
  Tails tails_;
  std::unique_ptr<Pools> pools_;
};

}  // namespace log_aggregator::collector
