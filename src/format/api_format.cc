#include "src/format/api_format.h"

#include <algorithm>

namespace log_aggregator {
namespace {

Shape choose_shape(std::size_t max_records, const Capabilities& takes) {
  if (max_records == 1) return Shape::object;
  return takes.ndjson ? Shape::ndjson : Shape::array;
}

Encoding choose_encoding(Compression compression, const Capabilities& takes) {
  switch (compression) {
    case Compression::zstd:
      return Encoding::zstd;
    case Compression::gzip:
      return Encoding::gzip;
    case Compression::none:
      return Encoding::none;
    case Compression::automatic:
      break;
  }
  if (takes.zstd) return Encoding::zstd;
  return takes.gzip ? Encoding::gzip : Encoding::none;
}

}  // namespace

Plan make_plan(const Options& options, const Capabilities& takes) {
  Plan plan;
  plan.max_records = options.batch_size > 0 ? options.batch_size : takes.max_records;
  plan.max_bytes = std::min(options.batch_bytes, takes.max_bytes);
  plan.shape = choose_shape(plan.max_records, takes);
  plan.encoding = choose_encoding(options.compression, takes);
  return plan;
}

std::string_view content_type(Shape shape) {
  return shape == Shape::ndjson ? "application/x-ndjson" : "application/json";
}

std::string_view encoding_name(Encoding encoding) {
  switch (encoding) {
    case Encoding::zstd:
      return "zstd";
    case Encoding::gzip:
      return "gzip";
    case Encoding::none:
      break;
  }
  return "";
}

std::size_t body_bytes(Shape shape, std::span<const RecordView> records) {
  std::size_t bytes = 0;
  for (const RecordView& record : records) bytes += record.payload.size();
  if (shape == Shape::object) return bytes;
  return bytes + records.size() + (shape == Shape::array ? 1 : 0);
}

std::string sequence_ranges(std::span<const RecordView> records) {
  const std::uint64_t first = records.empty() ? 0 : records.front().sequence;
  if (!records.empty() && records.back().sequence - first == records.size() - 1) {
    return range_text({{first, records.back().sequence}});  // as nearly always
  }
  std::vector<SequenceRange> ranges;
  for (const RecordView& record : records) {
    if (!ranges.empty() && record.sequence == ranges.back().last + 1) {
      ranges.back().last = record.sequence;
    } else {
      ranges.push_back({record.sequence, record.sequence});
    }
  }
  return range_text(ranges);
}

}  // namespace log_aggregator
