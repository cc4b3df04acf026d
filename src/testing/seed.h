// The randomness of random tests: from LOG_AGGREGATOR_TEST_SEED where that is set, so that a
// failure can be had again, else new each time. The seed is printed.

#pragma once

#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <random>
#include <string>

namespace log_aggregator::testing {

class Random {
 public:
  Random() : seed_(choose()), engine_(seed_) {
    std::cout << "LOG_AGGREGATOR_TEST_SEED=" << seed_ << std::endl;
  }

  std::uint64_t below(std::uint64_t end) {
    return std::uniform_int_distribution<std::uint64_t>(0, end - 1)(engine_);
  }
  bool one_in(std::uint64_t n) { return below(n) == 0; }
  std::string bytes(std::size_t count) {
    std::string text(count, '\0');
    for (char& c : text) c = static_cast<char>(below(256));
    return text;
  }
  std::mt19937_64& engine() { return engine_; }

 private:
  static std::uint64_t choose() {
    const char* given = std::getenv("LOG_AGGREGATOR_TEST_SEED");
    return given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device{}();
  }

  const std::uint64_t seed_;
  std::mt19937_64 engine_;
};

}  // namespace log_aggregator::testing
