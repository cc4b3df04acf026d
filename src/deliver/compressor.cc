#include "src/deliver/compressor.h"

#include <libdeflate.h>
#include <zstd.h>

#include <vector>

namespace log_aggregator {
namespace {

// The fastest level of each with a table of its own: log text compresses to a sixth already, and
// the worker has to keep up with the application. Zstd's fast level takes two thirds of the time
// for one and a half times the bytes; libdeflate has none below its first.
constexpr int kZstdLevel = 1;
constexpr int kFastZstdLevel = -5;
constexpr int kGzipLevel = 1;

struct FreeZstd {
  void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
};
struct FreeDeflate {
  void operator()(libdeflate_compressor* compressor) const {
    libdeflate_free_compressor(compressor);
  }
};

}  // namespace

struct Compressor::Contexts {
  // At least that many bytes to compress into. It only grows: what a string sets to zero when it
  // grows costs as much as a copy.
  char* room(std::size_t bytes) {
    if (buffer.size() < bytes) buffer.resize(bytes);
    return buffer.data();
  }

  // Made when first needed.
  std::unique_ptr<ZSTD_CCtx, FreeZstd> zstd;
  std::unique_ptr<libdeflate_compressor, FreeDeflate> deflate;
  std::vector<char> buffer;
};

Compressor::Compressor() : contexts_(std::make_unique<Contexts>()) {}
Compressor::~Compressor() = default;

bool Compressor::compress(Encoding encoding, Strength strength, std::string_view body,
                          std::string& out) {
  switch (encoding) {
    case Encoding::none:
      out.assign(body);
      return true;
    case Encoding::zstd: {
      if (!contexts_->zstd) contexts_->zstd.reset(ZSTD_createCCtx());
      if (!contexts_->zstd) return false;
      const int level = strength == Strength::fast ? kFastZstdLevel : kZstdLevel;
      const std::size_t most = ZSTD_compressBound(body.size());
      char* const room = contexts_->room(most);
      const std::size_t size =
          ZSTD_compressCCtx(contexts_->zstd.get(), room, most, body.data(), body.size(), level);
      if (ZSTD_isError(size) != 0) return false;
      out.assign(room, size);
      return true;
    }
    case Encoding::gzip: {
      if (!contexts_->deflate) contexts_->deflate.reset(libdeflate_alloc_compressor(kGzipLevel));
      libdeflate_compressor* const deflate = contexts_->deflate.get();
      if (deflate == nullptr) return false;
      const std::size_t most = libdeflate_gzip_compress_bound(deflate, body.size());
      char* const room = contexts_->room(most);
      out.assign(room, libdeflate_gzip_compress(deflate, body.data(), body.size(), room, most));
      return !out.empty();
    }
  }
  return false;
}

}  // namespace log_aggregator
