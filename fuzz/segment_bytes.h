// Makes files of a spool out of a fuzzer's bytes. Random bytes would never get past a checksum, so
// most of these are given the right one, over whatever the rest says.

#pragma once

#include <fuzzer/FuzzedDataProvider.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>

#include "src/base/crc32c.h"
#include "src/journal/segment.h"

namespace log_aggregator {

template <typename T>
std::string with_checksum(FuzzedDataProvider& data, T value, std::uint32_t seed) {
  std::string bytes(reinterpret_cast<const char*>(&value), sizeof value);
  if (data.ConsumeIntegralInRange(0, 7) == 0) return bytes;
  value.checksum = crc32c(bytes.substr(0, offsetof(T, checksum)), seed);
  return {reinterpret_cast<const char*>(&value), sizeof value};
}

// Small, or anything.
inline std::uint64_t some_number(FuzzedDataProvider& data) {
  return data.ConsumeBool() ? data.ConsumeIntegralInRange<std::uint64_t>(0, 40)
                            : data.ConsumeIntegral<std::uint64_t>();
}

inline std::string some_frame(FuzzedDataProvider& data, std::uint32_t seed) {
  const std::string payload = data.ConsumeRandomLengthString(200);
  FrameHeader header{};
  header.length = data.ConsumeBool() ? static_cast<std::uint32_t>(payload.size())
                                     : data.ConsumeIntegral<std::uint32_t>();
  header.severity = data.ConsumeIntegral<std::int32_t>();
  header.sequence = some_number(data);
  header.payload_checksum = data.ConsumeBool() ? crc32c(payload, seed) : 0;
  std::string frame = with_checksum(data, header, seed) + payload;
  if (data.ConsumeIntegralInRange(0, 7) != 0) frame.resize(Segment::frame_bytes(payload.size()));
  return frame;
}

inline std::string some_segment(FuzzedDataProvider& data, const SegmentId& id) {
  SegmentHeader header{};
  std::memcpy(header.magic.data(), "LogASeg1", header.magic.size());
  header.version = 1;
  header.first_frame = Segment::kFirstFrame;
  header.journal = id.journal;
  header.number = id.number;
  header.first_sequence = some_number(data);
  CommitHint hint{};
  hint.length = data.ConsumeBool() ? data.ConsumeIntegralInRange<std::uint32_t>(0, 2000)
                                   : data.ConsumeIntegral<std::uint32_t>();
  hint.records = static_cast<std::uint32_t>(some_number(data));
  std::string bytes = with_checksum(data, header, 0) + with_checksum(data, hint, id.seed());
  bytes.resize(Segment::kFirstFrame);
  while (data.remaining_bytes() > 0 && data.ConsumeIntegralInRange(0, 20) != 0) {
    bytes += some_frame(data, id.seed());
  }
  bytes.resize(bytes.size() -
               std::min<std::size_t>(bytes.size(), data.ConsumeIntegral<std::uint8_t>()));
  return bytes;
}

}  // namespace log_aggregator
