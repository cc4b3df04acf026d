#include "collector/http/decompress.h"

#include <libdeflate.h>
#include <zstd.h>
#include <zstd_errors.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <memory>

#include "src/base/text.h"

namespace log_aggregator::collector {

namespace {

using Outcome = std::variant<std::string, HttpError>;

HttpError too_large(std::size_t limit) {
  return {413, "the body is longer than " + std::to_string(limit) + " bytes when decompressed"};
}

HttpError damaged(std::string_view encoding) {
  return {400, "the body is not valid " + std::string(encoding)};
}

struct FreeInflater {
  void operator()(libdeflate_decompressor* d) const { libdeflate_free_decompressor(d); }
};
struct FreeZstd {
  void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
};

// The size that the end of a gzip file states: a hint, since it may lie and tells only of the last
// of several members.
std::size_t stated_gzip_size(std::string_view body) {
  if (body.size() < 4) return 0;
  std::uint32_t size = 0;
  for (std::size_t i = 0; i < 4; ++i) {
    size |= static_cast<std::uint32_t>(static_cast<unsigned char>(body[body.size() - 4 + i]))
            << (8 * i);
  }
  return size;
}

// All members of `body`, one after the other, into the whole of `out`, which is cut to their size.
libdeflate_result gunzip_members(libdeflate_decompressor* inflater, std::string_view body,
                                 std::string& out) {
  std::size_t written = 0;
  do {
    std::size_t taken = 0;
    std::size_t given = 0;
    const auto result =
        libdeflate_gzip_decompress_ex(inflater, body.data(), body.size(), out.data() + written,
                                      out.size() - written, &taken, &given);
    if (result != LIBDEFLATE_SUCCESS) return result;
    body.remove_prefix(taken);
    written += given;
  } while (!body.empty());
  out.resize(written);
  return LIBDEFLATE_SUCCESS;
}

Outcome gunzip(std::string_view body, std::size_t limit) {
  const std::unique_ptr<libdeflate_decompressor, FreeInflater> inflater(
      libdeflate_alloc_decompressor());
  if (!inflater) return HttpError{503, "out of memory"};
  std::string out(std::min(stated_gzip_size(body), limit), '\0');
  auto result = gunzip_members(inflater.get(), body, out);
  if (result == LIBDEFLATE_INSUFFICIENT_SPACE && out.size() < limit) {
    out.resize(limit);
    result = gunzip_members(inflater.get(), body, out);
  }
  if (result == LIBDEFLATE_INSUFFICIENT_SPACE) return too_large(limit);
  if (result != LIBDEFLATE_SUCCESS) return damaged("gzip");
  return out;
}

// A frame may ask for a window of up to 128 MiB to be kept; one larger than the limit is refused.
int window_log(std::size_t limit) {
  constexpr int kSmallest = 10;  // that zstd takes
  return std::max(kSmallest, static_cast<int>(std::bit_width(limit - 1)));
}

Outcome decompress_zstd(std::string_view body, std::size_t limit) {
  const std::unique_ptr<ZSTD_DCtx, FreeZstd> context(ZSTD_createDCtx());
  if (!context) return HttpError{503, "out of memory"};
  ZSTD_DCtx_setParameter(context.get(), ZSTD_d_windowLogMax, window_log(limit));

  const auto stated = ZSTD_getFrameContentSize(body.data(), body.size());
  if (stated == ZSTD_CONTENTSIZE_ERROR) return damaged("zstd");
  if (stated != ZSTD_CONTENTSIZE_UNKNOWN && stated > limit) return too_large(limit);

  const std::size_t expected =
      stated == ZSTD_CONTENTSIZE_UNKNOWN ? ZSTD_DStreamOutSize() : static_cast<std::size_t>(stated);
  std::string out;
  ZSTD_inBuffer in{body.data(), body.size(), 0};
  std::size_t missing = 1;  // what the frame under way still wants; 0 at its end
  while (in.pos < in.size || missing != 0) {
    // One byte above the limit tells a body that just fits from one that is too long.
    const std::size_t size = out.size();
    const std::size_t room = std::min(limit + 1 - size, std::max(expected + 1, size));
    if (room == 0) return too_large(limit);
    out.resize(size + room);
    ZSTD_outBuffer chunk{out.data() + size, room, 0};
    missing = ZSTD_decompressStream(context.get(), &chunk, &in);
    out.resize(size + chunk.pos);
    if (ZSTD_getErrorCode(missing) == ZSTD_error_frameParameter_windowTooLarge) {
      return too_large(limit);
    }
    if (ZSTD_isError(missing) != 0) return damaged("zstd");
    const bool stuck = in.pos == in.size && chunk.pos < room && missing != 0;
    if (stuck) return damaged("zstd");
  }
  if (out.size() > limit) return too_large(limit);
  return out;
}

}  // namespace

Outcome decompress(std::string body, std::string_view encoding, std::size_t limit) {
  if (encoding.empty() || equal_ignoring_case(encoding, "identity")) return body;
  if (equal_ignoring_case(encoding, "gzip")) return gunzip(body, limit);
  if (equal_ignoring_case(encoding, "zstd")) return decompress_zstd(body, limit);
  return HttpError{415, "the body's Content-Encoding must be zstd, gzip or none"};
}

}  // namespace log_aggregator::collector
