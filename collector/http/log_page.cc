#include "collector/http/log_page.h"

#include "collector/web/assets.h"

namespace log_aggregator::collector {

namespace {

constexpr char kContentSecurityPolicy[] =
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'";

}  // namespace

HttpResponse log_page_response(std::string_view path) {
  const Asset* asset = find_asset(path);
  if (asset == nullptr) return error_response({404, "there is nothing at this path"});
  HttpResponse response{200, std::string(asset->bytes), {}, asset->content_type};
  response.headers.emplace_back("Content-Security-Policy", kContentSecurityPolicy);
  response.headers.emplace_back("Referrer-Policy", "no-referrer");
  response.headers.emplace_back("Cross-Origin-Opener-Policy", "same-origin");
  return response;
}

}  // namespace log_aggregator::collector
