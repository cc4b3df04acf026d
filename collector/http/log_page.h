// GET / and what the log page loads, with the headers under which a browser runs nothing but the
// page's own script and loads nothing from elsewhere, whatever records hold.

#pragma once

#include <string_view>

#include "collector/http/message.h"

namespace log_aggregator::collector {

// 404 where the page has no file with this path.
HttpResponse log_page_response(std::string_view path);

}  // namespace log_aggregator::collector
