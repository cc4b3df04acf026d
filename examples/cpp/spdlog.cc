// What a program logs through spdlog goes to standard output and to the API.
//
//   spdlog [ENDPOINT]

#include <log_aggregator/spdlog_sink.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <cstdio>
#include <memory>
#include <string>
#include <utility>

namespace {

void log_to(const std::string& endpoint) {
  log_aggregator::Options options;
  options.api_endpoint = endpoint;
  options.fields = {log_aggregator::static_field("service", "shop")};
  auto api = std::make_shared<log_aggregator::spdlog_sink_mt>(std::move(options));
  auto console = std::make_shared<spdlog::sinks::stdout_color_sink_mt>();
  auto logger = std::make_shared<spdlog::logger>("shop", spdlog::sinks_init_list{console, api});
  logger->set_pattern("%T [%l] %v");     // of the console: records have all that as fields
  logger->flush_on(spdlog::level::err);  // errors are sent at once
  logger->enable_backtrace(32);          // keeps the latest, of any level, for dump_backtrace()
  spdlog::set_default_logger(std::move(logger));
}

}  // namespace

int main(int count, char** arguments) {
  try {
    log_to(count > 1 ? arguments[1] : "http://127.0.0.1:8080/api/logs");
  } catch (const spdlog::spdlog_ex& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }

  spdlog::info("user {} logged in", 123);
  SPDLOG_WARN("{} tries left", 2);           // with the place in the source
  spdlog::debug("cart has {} articles", 3);  // below the logger's level: only in the backtrace
#ifdef LOG_AGGREGATOR_SPDLOG_HAS_MDC
  spdlog::mdc::put("request_id", "r-1");  // a field of what this thread logs from now on
#endif
  spdlog::error("no order: {}", "card declined");
  spdlog::dump_backtrace();

  spdlog::shutdown();  // lets go of the logger, and so of the handler, which delivers what is left
}
