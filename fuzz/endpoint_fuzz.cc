// Any bytes as an endpoint's URL: a password in it is never shown.

#include <cstddef>
#include <cstdint>

#include "fuzz/expect.h"
#include "src/base/url.h"

using namespace log_aggregator;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* input, std::size_t size) {
  const auto endpoint = parse_endpoint({reinterpret_cast<const char*>(input), size});
  if (!endpoint.ok()) return 0;
  const auto authority = [](const std::string& url) {
    const std::size_t begin = url.find("://") + 3;
    return url.substr(begin, url.find_first_of("/?#", begin) - begin);
  };
  for (const std::string& url : {endpoint->url, endpoint->shown, endpoint->health_url}) {
    expect(authority(url).find('@') == std::string::npos);
  }
  return 0;
}
