// The addresses that follow from an API endpoint.

#pragma once

#include <string>
#include <string_view>

#include "log_aggregator/status.h"

namespace log_aggregator {

struct Endpoint {
  std::string url;         // without user and password
  std::string shown;       // for reports: without the query, too
  std::string health_url;  // the endpoint's last path segment replaced by "health"
  std::string user;        // decoded; empty where the URL has none
  std::string password;
  bool has_credentials = false;
};

// Fails with invalid_argument for anything but an http or https URL with a host. The message never
// repeats what may be a password.
Result<Endpoint> parse_endpoint(const std::string& text);

}  // namespace log_aggregator
