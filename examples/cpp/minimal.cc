// A handler, two records, and whether they arrived.
//
//   minimal [ENDPOINT]

#include <log_aggregator/handler.h>

#include <cstdio>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

using log_aggregator::exception;
using log_aggregator::field;
using log_aggregator::Level;
using log_aggregator::logger;

int main(int count, char** arguments) {
  log_aggregator::Options options;
  options.api_endpoint = count > 1 ? arguments[1] : "http://127.0.0.1:8080/api/logs";
  auto made = log_aggregator::Handler::create(std::move(options));
  if (!made.ok()) {
    std::fprintf(stderr, "%s\n", made.status().message().c_str());
    return 1;
  }
  log_aggregator::Handler& handler = **made;

  const std::vector<std::string> roles{"admin", "staff"};
  handler.log(Level::info, "user logged in", field("user_id", 123), field("roles", roles));
  try {
    throw std::runtime_error("card declined");
  } catch (const std::exception&) {
    handler.log(Level::error, "no order", exception(), logger("shop.orders"));
  }

  // The destructor would do it as well; this says whether all was delivered.
  return handler.close() && handler.stats().dropped_total() == 0 ? 0 : 1;
}
