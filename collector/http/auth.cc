#include "collector/http/auth.h"

#include <cerrno>
#include <cstring>
#include <fstream>

#include "collector/http/message.h"
#include "src/base/base64.h"
#include "src/base/text.h"

namespace log_aggregator::collector {

namespace {

// Looks at every byte of `guess` whatever it finds, so that time does not tell where it went wrong.
bool equal_in_constant_time(std::string_view guess, std::string_view token) {
  unsigned difference = guess.size() == token.size() ? 0 : 1;
  for (std::size_t i = 0; i < guess.size(); ++i) {
    const char expected = token[i % token.size()];
    difference |= static_cast<unsigned char>(guess[i]) ^ static_cast<unsigned char>(expected);
  }
  return difference == 0;
}

}  // namespace

Result<TokenSet> TokenSet::load(const std::string& path) {
  std::ifstream file(path);
  if (!file) {
    return Status::invalid_argument("cannot read the token file " + path + ": " +
                                    std::strerror(errno));
  }
  std::vector<std::string> tokens;
  for (std::string line; std::getline(file, line);) {
    const std::string_view token = trim_blanks(line);
    if (!token.empty()) tokens.emplace_back(token);
  }
  if (tokens.empty()) return Status::invalid_argument("the token file " + path + " holds no token");
  return TokenSet(std::move(tokens));
}

Access TokenSet::check(std::optional<std::string_view> authorization) const {
  if (tokens_.empty()) return Access::granted;
  if (!authorization) return Access::missing;
  const auto blank = authorization->find(' ');
  const std::string_view scheme = authorization->substr(0, blank);
  const std::string_view value =
      blank == std::string_view::npos ? "" : trim_blanks(authorization->substr(blank));
  if (equal_ignoring_case(scheme, "Bearer")) {
    return holds(value) ? Access::granted : Access::wrong;
  }
  if (!equal_ignoring_case(scheme, "Basic")) return Access::wrong;
  const std::string pair = base64_decode(value);
  const auto colon = pair.find(':');
  if (colon == std::string::npos) return Access::wrong;
  return holds(std::string_view(pair).substr(colon + 1)) ? Access::granted : Access::wrong;
}

bool TokenSet::holds(std::string_view token) const {
  bool found = false;
  for (const std::string& each : tokens_) found |= equal_in_constant_time(token, each);
  return found;
}

}  // namespace log_aggregator::collector
