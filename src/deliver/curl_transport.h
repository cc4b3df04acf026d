// CurlTransport: the real transport, by libcurl's multi interface. Redirects are never followed;
// what is not HTTP or HTTPS is refused; name lookup counts toward the timeout; no signal is used.
//
// One mutex for the process is held around every call of libcurl but its sleep, so that a fork
// finds libcurl and the TLS library below it at rest. libcurl's own threads, which look names up,
// are the exception: nobody can hold them.

#pragma once

#include <memory>

#include "src/base/trust_store.h"
#include "src/deliver/transport.h"

namespace log_aggregator {

// Takes proxy, certificates and verification from `options`, which must outlive it; without a
// ca_file, `trust` says who is trusted. Opens nothing before its first use, no file either.
std::unique_ptr<Transport> make_curl_transport(const Options& options,
                                               const TrustStore& trust = TrustStore());

// ---- around a fork

// Holds every other thread out of libcurl.
void lock_curl_for_fork();
void unlock_curl_after_fork();
// In a child, before unlocking: closes the sockets of all transports that there are. The parent's
// transports are not to be used or destroyed here: a TLS library would speak on its connections.
void close_curl_sockets_in_child();

}  // namespace log_aggregator
