// Site: whether a request was meant for this collector, or a web page elsewhere had somebody's
// browser send it.
//
// A page under a name that its owner lets lead here (DNS rebinding) shows in Host, a page of
// another origin in Origin. Programs that are not browsers may send what they like; for those there
// are tokens.

#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "collector/http/message.h"

namespace log_aggregator::collector {

class Site {
 public:
  // Goes by IP addresses, localhost, this machine's name, and `names`.
  explicit Site(const std::vector<std::string>& names = {});

  // 400 or 421 for what Host says, 403 for Origin.
  std::optional<HttpError> refuse(const HttpRequest& request) const;

  // Whether `text` can be the name of a host: no port, no wildcard.
  static bool is_host_name(std::string_view text);

 private:
  std::optional<HttpError> refuse_host(std::string_view host) const;

  std::unordered_set<std::string> names_;  // in lower case
};

}  // namespace log_aggregator::collector
