// Any bytes as the file of a segment.

#include "fuzz/expect.h"
#include "fuzz/segment_bytes.h"
#include "src/journal/scan.h"

using namespace log_aggregator;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* input, std::size_t size) {
  FuzzedDataProvider data(input, size);
  const SegmentId id{.journal = {'f', 'u', 'z', 'z'}, .number = 7};
  std::string bytes =
      data.ConsumeBool() ? some_segment(data, id) : data.ConsumeRemainingBytesAsString();

  std::uint64_t found = 0;
  std::size_t end = 0;
  const auto seen = [&](const RecordView& record, std::size_t offset) {
    expect(offset >= end);
    end = offset + Segment::frame_bytes(record.payload.size());
    ++found;
  };
  const auto damaged = [&](const Damage& damage) { expect(damage.offset < bytes.size()); };
  const ScanResult scan = scan_segment(bytes, id, seen, damaged);
  expect(scan.records == found);

  const Compacted left = compact_segment(bytes.data(), bytes.size(), id, 0);
  expect(left.scan.records == found);
  expect(total(left.levels) <= found);
  expect(left.end <= bytes.size() + Segment::kFirstFrame + kFrameAlignment);
  return 0;
}
