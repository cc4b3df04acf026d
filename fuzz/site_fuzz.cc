// Any bytes as the headers Host and Origin, with a line break between them.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "collector/http/site.h"
#include "fuzz/expect.h"

using namespace log_aggregator;

namespace {

// Of a host that passes, without the names that this one goes by: it holds an address.
bool may_be_an_address(std::string_view host) {
  return host.find_first_not_of("0123456789abcdefABCDEF.:[]") == std::string_view::npos;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* input, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(input), size);
  const std::string host = text.substr(0, text.find('\n'));
  const std::string origin = text.substr(std::min(host.size() + 1, text.size()));
  static const collector::Site site({"a-b.example"});
  collector::HttpRequest request;
  request.headers = {{"Host", host}};
  const auto refused = site.refuse(request);
  if (refused) {
    expect(refused->status == 400 || refused->status == 421);
    return 0;
  }
  const bool is_name = collector::Site::is_host_name(host.substr(0, host.find(':')));
  expect(is_name || may_be_an_address(host));
  request.headers.emplace_back("Origin", origin);
  // Whoever passes has our own host in it.
  if (!site.refuse(request)) expect(origin.size() > host.size());
  return 0;
}
