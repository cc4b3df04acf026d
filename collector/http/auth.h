// TokenSet: the tokens that a collector takes, one per line of a file.
//
// A request shows one as `Authorization: Bearer TOKEN`, or as the password of Basic
// authentication under any user name. Comparing takes the same time wherever a guess is wrong.

#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "log_aggregator/status.h"

namespace log_aggregator::collector {

enum class Access {
  granted,  // a token that is right, or none are wanted
  missing,  // no Authorization header
  wrong,
};

class TokenSet {
 public:
  // Wants no token.
  TokenSet() = default;
  explicit TokenSet(std::vector<std::string> tokens) : tokens_(std::move(tokens)) {}

  // Empty lines and blanks around a token do not count. Fails where the file cannot be read or
  // holds no token.
  static Result<TokenSet> load(const std::string& path);

  bool empty() const { return tokens_.empty(); }
  Access check(std::optional<std::string_view> authorization) const;

 private:
  bool holds(std::string_view token) const;

  std::vector<std::string> tokens_;
};

}  // namespace log_aggregator::collector
