// The aggregation API's request: canonical records are its records as they are, so a body is only
// joined from them (body.h).

#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "log_aggregator/options.h"
#include "src/base/sequence_ranges.h"
#include "src/format/capabilities.h"
#include "src/journal/segment.h"

namespace log_aggregator {

enum class Shape {
  object,  // one record
  array,   // a JSON array of records
  ndjson,  // a record a line
};

enum class Encoding { none, zstd, gzip };

// How requests are made, from the options and what the API says of itself.
struct Plan {
  Shape shape = Shape::object;
  Encoding encoding = Encoding::none;
  std::size_t max_records = 1;
  std::size_t max_bytes = 0;  // of the body before encoding; a single larger record goes alone
};

// Options that were given win over what the API says.
Plan make_plan(const Options& options, const Capabilities& takes);

std::string_view content_type(Shape shape);
// The name for Content-Encoding; empty for none.
std::string_view encoding_name(Encoding encoding);

// Of a body with these records, as body.h makes it.
std::size_t body_bytes(Shape shape, std::span<const RecordView> records);

// The value of Log-Aggregator-Sequence, for example "17-40,42-60". Their numbers ascend.
std::string sequence_ranges(std::span<const RecordView> records);

}  // namespace log_aggregator
