// CurlTransport: the real transport, by libcurl's multi interface. Redirects are never followed;
// what is not HTTP or HTTPS is refused; name lookup counts toward the timeout; no signal is used.

#pragma once

#include <memory>

#include "src/deliver/transport.h"

namespace log_aggregator {

// Takes proxy, certificates and verification from `options`, which must outlive it. Opens nothing
// before its first use.
std::unique_ptr<Transport> make_curl_transport(const Options& options);

}  // namespace log_aggregator
