#include "src/base/entropy.h"

#include <unistd.h>

#include <cerrno>
#include <system_error>

namespace log_aggregator {

std::uint64_t entropy() {
  std::uint64_t bits = 0;
  if (::getentropy(&bits, sizeof bits) != 0) {
    throw std::system_error(errno, std::generic_category(), "getentropy");
  }
  return bits;
}

}  // namespace log_aggregator
