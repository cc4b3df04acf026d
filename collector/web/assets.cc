#include "collector/web/assets.h"

#include <cstddef>

namespace log_aggregator::collector {

namespace {

#include "web/page_files.inc"

template <std::size_t kSize>
std::string_view bytes(const unsigned char (&file)[kSize]) {
  return {reinterpret_cast<const char*>(file), kSize};
}

const Asset kAssets[] = {
    {"/", "text/html; charset=utf-8", bytes(index_html)},
    {"/app.js", "text/javascript; charset=utf-8", bytes(app_js)},
    {"/app.css", "text/css; charset=utf-8", bytes(app_css)},
    {"/icon.svg", "image/svg+xml", bytes(icon_svg)},
};

}  // namespace

const Asset* find_asset(std::string_view path) {
  for (const Asset& asset : kAssets) {
    if (asset.path == path) return &asset;
  }
  return nullptr;
}

}  // namespace log_aggregator::collector
