// GuessLimiter: tells somebody who tries tokens from somebody whose token is wrong.
//
// It counts the different wrong tokens that come from one address (of IPv6: from one /64, which is
// what one customer gets) within a minute. The same one again, as from a sender whose token was
// changed, is no guess. Of tokens it keeps salted hashes, of addresses the newest so many; the
// oldest are forgotten, so memory is bounded. For one thread.

#pragma once

#include <chrono>
#include <cstddef>
#include <list>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "src/base/clock.h"

namespace log_aggregator::collector {

class GuessLimiter {
 public:
  // `clock` must outlive it.
  explicit GuessLimiter(const Clock& clock = real_clock(), std::size_t max_addresses = 10'000);

  // A wrong token came from this address. Where there were too many before it: how long this
  // address is to be refused.
  std::optional<std::chrono::seconds> add(std::string_view address, std::string_view token);

 private:
  struct Guesser {
    std::string network;
    Clock::TimePoint begin;            // of the minute
    std::vector<std::size_t> guesses;  // salted hashes of the tokens
  };

  Guesser& find(std::string network);

  const Clock& clock_;
  const std::size_t max_addresses_;
  const std::string salt_;
  std::list<Guesser> guessers_;  // whose minute began first comes first
  std::unordered_map<std::string, std::list<Guesser>::iterator> by_network_;
};

}  // namespace log_aggregator::collector
