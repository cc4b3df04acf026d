// What Handler::create does with the options it is given: checks them and fills in what was left
// to it.

#pragma once

#include "log_aggregator/options.h"
#include "log_aggregator/status.h"
#include "src/base/url.h"

namespace log_aggregator {

// Fails with invalid_argument, naming the option. Otherwise `options` has a host, and credentials
// of the URL as headers.
Result<Endpoint> prepare_options(Options& options);

}  // namespace log_aggregator
