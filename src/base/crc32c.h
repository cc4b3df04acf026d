// CRC-32C (Castagnoli), as iSCSI and ext4 have it: finds every single and double bit error of a
// record. By the processor's own instruction where it has one.

#pragma once

#include <cstdint>
#include <string_view>

namespace log_aggregator {

// Of `bytes`, going on from the CRC of what stands before them; 0: nothing does.
std::uint32_t crc32c(std::string_view bytes, std::uint32_t before = 0);

}  // namespace log_aggregator
