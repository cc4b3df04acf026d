// The files of the log page. They are part of the program: no request makes it read a file.

#pragma once

#include <string_view>

namespace log_aggregator::collector {

struct Asset {
  std::string_view path;  // in a URL
  std::string_view content_type;
  std::string_view bytes;
};

// Nothing where no file has this path.
const Asset* find_asset(std::string_view path);

}  // namespace log_aggregator::collector
