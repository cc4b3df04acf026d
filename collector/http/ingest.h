// Reads the body of POST /api/logs into a batch for the store: pure functions, no store, no socket.
//
// One bad record costs none of its neighbours: it is named by its index and a reason, the others
// are kept. A reason never repeats what a record holds.

#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "collector/http/message.h"
#include "collector/store/store.h"

namespace log_aggregator::collector {

// What one request may hold; the health answer says the same.
struct IngestLimits {
  std::size_t max_records = 10'000;
  std::size_t max_bytes = 8 << 20;  // of the body, as sent and decompressed
};

struct BadRecord {
  std::size_t index = 0;  // among the records of the body; empty lines do not count
  std::string reason;
};

struct Ingest {
  Batch batch;
  std::vector<BadRecord> bad;
};

// What makes a request to post records wrong before its body is read, if anything.
std::optional<HttpError> check_ingest_headers(const HttpRequest& head);

// `now_us` becomes the timestamp of records that have none.
std::variant<Ingest, HttpError> parse_ingest(HttpRequest request, const IngestLimits& limits,
                                             std::int64_t now_us);

// The answer, once the store has given its own.
HttpResponse ingest_response(const Appended& appended, const std::vector<BadRecord>& bad);

}  // namespace log_aggregator::collector
