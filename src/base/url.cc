#include "src/base/url.h"

#include <curl/curl.h>

#include <memory>

namespace log_aggregator {
namespace {

using Url = std::unique_ptr<CURLU, decltype(&curl_url_cleanup)>;

// Empty where the URL has no such part.
std::string part(CURLU* url, CURLUPart which, unsigned flags = 0) {
  char* text = nullptr;
  if (curl_url_get(url, which, &text, flags) != CURLUE_OK || text == nullptr) return {};
  std::string copy(text);
  curl_free(text);
  return copy;
}

// "/api/logs" and "/api/logs/" -> "/api/health"; "/" -> "/health".
std::string health_path(std::string path) {
  while (!path.empty() && path.back() == '/') path.pop_back();
  const std::size_t slash = path.rfind('/');
  return path.substr(0, slash == std::string::npos ? 0 : slash) + "/health";
}

Status malformed(std::string_view reason) {
  return Status::invalid_argument("api_endpoint is not an http or https URL (" +
                                  std::string(reason) +
                                  "); expected one such as http://host:8080/api/logs");
}

}  // namespace

Result<Endpoint> parse_endpoint(const std::string& text) {
  for (const char c : text) {
    if (static_cast<unsigned char>(c) <= ' ' || c == 0x7F) {
      return malformed("it contains a space or a control character");
    }
  }
  const Url url(curl_url(), &curl_url_cleanup);
  if (!url) return Status(StatusCode::out_of_memory, "out of memory");
  const CURLUcode code = curl_url_set(url.get(), CURLUPART_URL, text.c_str(), 0);
  if (code != CURLUE_OK) return malformed(curl_url_strerror(code));
  const std::string scheme = part(url.get(), CURLUPART_SCHEME);
  if (scheme != "http" && scheme != "https") return malformed("its scheme is another");
  // libcurl takes http:/host and http:///host, too.
  if (text.substr(scheme.size(), 3) != "://" || text[scheme.size() + 3] == '/') {
    return malformed("it has no host");
  }

  Endpoint endpoint;
  endpoint.user = part(url.get(), CURLUPART_USER, CURLU_URLDECODE);
  endpoint.password = part(url.get(), CURLUPART_PASSWORD, CURLU_URLDECODE);
  endpoint.has_credentials = !endpoint.user.empty() || !endpoint.password.empty();
  curl_url_set(url.get(), CURLUPART_USER, nullptr, 0);
  curl_url_set(url.get(), CURLUPART_PASSWORD, nullptr, 0);
  curl_url_set(url.get(), CURLUPART_FRAGMENT, nullptr, 0);
  endpoint.url = part(url.get(), CURLUPART_URL);

  curl_url_set(url.get(), CURLUPART_QUERY, nullptr, 0);
  endpoint.shown = part(url.get(), CURLUPART_URL);
  const std::string path = health_path(part(url.get(), CURLUPART_PATH));
  curl_url_set(url.get(), CURLUPART_PATH, path.c_str(), 0);
  endpoint.health_url = part(url.get(), CURLUPART_URL);
  return endpoint;
}

}  // namespace log_aggregator
