#include "src/deliver/compressor.h"

#include <libdeflate.h>
#include <zstd.h>

namespace log_aggregator {
namespace {

// The fastest level of each: log text compresses to a fifth already, and the worker has to keep
// up with the application.
constexpr int kZstdLevel = 1;
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
  // Made when first needed.
  std::unique_ptr<ZSTD_CCtx, FreeZstd> zstd;
  std::unique_ptr<libdeflate_compressor, FreeDeflate> deflate;
};

Compressor::Compressor() : contexts_(std::make_unique<Contexts>()) {}
Compressor::~Compressor() = default;

bool Compressor::compress(Encoding encoding, std::string_view body, std::string& out) {
  switch (encoding) {
    case Encoding::none:
      out.assign(body);
      return true;
    case Encoding::zstd: {
      if (!contexts_->zstd) contexts_->zstd.reset(ZSTD_createCCtx());
      if (!contexts_->zstd) return false;
      out.resize(ZSTD_compressBound(body.size()));
      const std::size_t size = ZSTD_compressCCtx(contexts_->zstd.get(), out.data(), out.size(),
                                                 body.data(), body.size(), kZstdLevel);
      if (ZSTD_isError(size) != 0) return false;
      out.resize(size);
      return true;
    }
    case Encoding::gzip: {
      if (!contexts_->deflate) contexts_->deflate.reset(libdeflate_alloc_compressor(kGzipLevel));
      if (!contexts_->deflate) return false;
      out.resize(libdeflate_gzip_compress_bound(contexts_->deflate.get(), body.size()));
      out.resize(libdeflate_gzip_compress(contexts_->deflate.get(), body.data(), body.size(),
                                          out.data(), out.size()));
      return !out.empty();
    }
  }
  return false;
}

}  // namespace log_aggregator
