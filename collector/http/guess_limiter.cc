#include "collector/http/guess_limiter.h"

#include <arpa/inet.h>

#include <algorithm>
#include <functional>
#include <string>
#include <utility>

#include "src/base/entropy.h"

namespace log_aggregator::collector {

namespace {

constexpr std::size_t kMaxGuesses = 10;
constexpr std::chrono::minutes kWindow(1);

std::string random_salt() { return std::to_string(entropy()) + std::to_string(entropy()); }

// What one guesser can be expected to hold: an IPv4 address, also where it is written as IPv6, or
// 64 bits of an IPv6 address.
std::string network_of(std::string_view address) {
  in6_addr parsed{};
  std::string text(address.substr(0, address.find('%')));  // without the interface
  if (inet_pton(AF_INET6, text.c_str(), &parsed) != 1) return text;
  const auto* bytes = reinterpret_cast<const char*>(parsed.s6_addr);
  if (!IN6_IS_ADDR_V4MAPPED(&parsed)) return {bytes, 8};
  char mapped[INET_ADDRSTRLEN] = {};
  inet_ntop(AF_INET, bytes + 12, mapped, sizeof mapped);
  return mapped;
}

}  // namespace

GuessLimiter::GuessLimiter(const Clock& clock, std::size_t max_addresses)
    : clock_(clock), max_addresses_(max_addresses), salt_(random_salt()) {}

std::optional<std::chrono::seconds> GuessLimiter::add(std::string_view address,
                                                      std::string_view token) {
  Guesser& guesser = find(network_of(address));
  auto& guesses = guesser.guesses;
  const std::size_t guess = std::hash<std::string>()(salt_ + std::string(token));
  const bool is_known = std::find(guesses.begin(), guesses.end(), guess) != guesses.end();
  // One beyond the most marks the address as that of a guesser; more need not be kept.
  if (!is_known && guesses.size() <= kMaxGuesses) guesses.push_back(guess);
  if (guesses.size() <= kMaxGuesses) return std::nullopt;
  return std::chrono::ceil<std::chrono::seconds>(guesser.begin + kWindow - clock_.now());
}

// The entry of this network in its current minute.
GuessLimiter::Guesser& GuessLimiter::find(std::string network) {
  const auto now = clock_.now();
  const auto known = by_network_.find(network);
  if (known != by_network_.end()) {
    if (now - known->second->begin < kWindow) return *known->second;
    guessers_.erase(known->second);
    by_network_.erase(known);
  } else if (guessers_.size() >= max_addresses_) {
    by_network_.erase(guessers_.front().network);
    guessers_.pop_front();
  }
  guessers_.push_back({network, now, {}});
  by_network_.emplace(std::move(network), std::prev(guessers_.end()));
  return guessers_.back();
}

}  // namespace log_aggregator::collector
