#include "collector/http/log_page.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <string>

#include "collector/web/assets.h"

namespace log_aggregator::collector {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;

std::string header(const HttpResponse& response, const std::string& name) {
  const auto found = std::find_if(response.headers.begin(), response.headers.end(),
                                  [&](const auto& each) { return each.first == name; });
  return found == response.headers.end() ? "" : found->second;
}

TEST(LogPage, is_embedded_whole) {
  EXPECT_THAT(log_page_response("/").body, StartsWith("<!doctype html>"));
  EXPECT_THAT(log_page_response("/").body, EndsWith("</html>\n"));
  EXPECT_THAT(log_page_response("/icon.svg").body, EndsWith("</svg>\n"));
}

TEST(LogPage, loads_only_files_that_are_there) {
  const std::string page = log_page_response("/").body;
  for (const char* path : {"/app.js", "/app.css", "/icon.svg"}) {
    EXPECT_THAT(page, HasSubstr('"' + std::string(path) + '"'));
    EXPECT_EQ(log_page_response(path).status, 200) << path;
  }
}

TEST(LogPage, comes_under_a_policy_that_allows_its_own_files_only) {
  for (const char* path : {"/", "/app.js", "/app.css", "/icon.svg"}) {
    const std::string policy = header(log_page_response(path), "Content-Security-Policy");
    EXPECT_THAT(policy, StartsWith("default-src 'none'; script-src 'self'; ")) << path;
    EXPECT_THAT(policy, HasSubstr("require-trusted-types-for 'script'")) << path;
  }
}

TEST(LogPage, has_nothing_at_other_paths) {
  for (const char* path : {"", "/index.html", "/app", "/app.js/", "/../app.js"}) {
    EXPECT_EQ(log_page_response(path).status, 404) << path;
    EXPECT_EQ(find_asset(path), nullptr) << path;
  }
}

}  // namespace
}  // namespace log_aggregator::collector
