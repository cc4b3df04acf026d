// Any bytes as the files of a journal whose process is dead: its cursor and three segments.

#include <memory>

#include "fuzz/expect.h"
#include "fuzz/segment_bytes.h"
#include "src/base/uuid.h"
#include "src/journal/orphan.h"
#include "src/testing/fake_files.h"

using namespace log_aggregator;

namespace {

constexpr const char* kId = "00112233-4455-4677-8899-aabbccddeeff";
constexpr std::size_t kSlotBytes = 4096;

std::string some_slot(FuzzedDataProvider& data, std::uint32_t seed) {
  std::string slot;
  const auto add = [&](const auto& value) {
    slot.append(reinterpret_cast<const char*>(&value), sizeof value);
  };
  add(some_number(data));
  add(some_number(data));
  add(data.ConsumeBool() ? data.ConsumeIntegralInRange<std::uint32_t>(0, 4)
                         : data.ConsumeIntegral<std::uint32_t>());
  add(std::uint32_t{0});
  for (int i = 0; i < 8; ++i) add(some_number(data));
  slot.resize(kSlotBytes - sizeof(std::uint32_t));
  add(data.ConsumeIntegralInRange(0, 7) == 0 ? 0 : crc32c(slot, seed));
  return slot;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* input, std::size_t size) {
  FuzzedDataProvider data(input, size);
  testing::FakeFiles files;
  const std::string directory = std::string("/spool/") + kId;
  expect(files.make_directory("/spool").ok() && files.make_directory(directory).ok());
  const UuidBytes uuid = parse_uuid(kId).value();
  const std::uint32_t seed = crc32c({uuid.data(), uuid.size()});
  files.write_file(directory + "/lock", "");
  files.write_file(directory + "/cursor", some_slot(data, seed) + some_slot(data, seed));
  for (const std::uint64_t number : {1, 2, 3}) {
    files.write_file(directory + "/000000000000000" + std::to_string(number) + ".segment",
                     some_segment(data, {uuid, number}));
  }

  auto orphan = Orphan::adopt(files, "/spool", kId);
  expect(orphan.ok());
  Settlement settlement;
  while (const auto record = (*orphan)->peek()) {
    settlement.through = record->sequence;
    (*orphan)->advance();
    if (record->payload.size() % 3 == 0) (*orphan)->settle(settlement);
  }
  expect(!(*orphan)->stuck());
  (*orphan)->given_up_acknowledged((*orphan)->given_up(3));
  (*orphan)->discard();
  expect(files.paths().empty());
  return 0;
}
