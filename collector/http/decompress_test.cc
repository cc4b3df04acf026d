#include "collector/http/decompress.h"

#include <gtest/gtest.h>
#include <libdeflate.h>
#include <zstd.h>

#include <random>

namespace log_aggregator::collector {
namespace {

constexpr std::size_t kLimit = 100'000;

std::string gzip(const std::string& text) {
  libdeflate_compressor* compressor = libdeflate_alloc_compressor(1);
  std::string out(libdeflate_gzip_compress_bound(compressor, text.size()), '\0');
  out.resize(
      libdeflate_gzip_compress(compressor, text.data(), text.size(), out.data(), out.size()));
  libdeflate_free_compressor(compressor);
  return out;
}

// `stated`: whether the frame says how long its content is.
std::string zstd(const std::string& text, bool stated = true) {
  ZSTD_CCtx* context = ZSTD_createCCtx();
  ZSTD_CCtx_setParameter(context, ZSTD_c_contentSizeFlag, stated ? 1 : 0);
  std::string out(ZSTD_compressBound(text.size()), '\0');
  out.resize(ZSTD_compress2(context, out.data(), out.size(), text.data(), text.size()));
  ZSTD_freeCCtx(context);
  return out;
}

std::string noise(std::size_t size) {
  std::mt19937 random(7);
  std::string out(size, '\0');
  for (char& c : out) c = static_cast<char>(random());
  return out;
}

// The text, or "413" and the like.
std::string run(const std::string& body, std::string_view encoding) {
  auto outcome = decompress(body, encoding, kLimit);
  if (const auto* error = std::get_if<HttpError>(&outcome)) return std::to_string(error->status);
  return std::get<std::string>(std::move(outcome));
}

TEST(Decompress, LeavesPlainBodiesAlone) {
  EXPECT_EQ(run("abc", ""), "abc");
  EXPECT_EQ(run("abc", "Identity"), "abc");
}

TEST(Decompress, GivesBackWhatWasCompressed) {
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{5'000}, kLimit}) {
    for (const std::string& text : {std::string(size, 'x'), noise(size)}) {
      EXPECT_EQ(run(gzip(text), "gzip"), text) << size;
      EXPECT_EQ(run(zstd(text), "zstd"), text) << size;
      EXPECT_EQ(run(zstd(text, false), "ZSTD"), text) << size;
    }
  }
}

TEST(Decompress, JoinsMembersAndFrames) {
  EXPECT_EQ(run(gzip("ab") + gzip("") + gzip("c"), "gzip"), "abc");
  EXPECT_EQ(run(zstd("ab") + zstd("", false) + zstd("c", false), "zstd"), "abc");
}

TEST(Decompress, RefusesOneByteMoreThanTheLimit) {
  const std::string text(kLimit + 1, 'x');
  EXPECT_EQ(run(gzip(text), "gzip"), "413");
  EXPECT_EQ(run(zstd(text), "zstd"), "413");
  EXPECT_EQ(run(zstd(text, false), "zstd"), "413");
  const std::string half(kLimit / 2 + 1, 'x');
  EXPECT_EQ(run(gzip(half) + gzip(half), "gzip"), "413");
  EXPECT_EQ(run(zstd(half) + zstd(half), "zstd"), "413");
}

TEST(Decompress, RefusesBombs) {
  const std::string bomb(64 << 20, 'x');
  EXPECT_EQ(run(gzip(bomb), "gzip"), "413");
  EXPECT_EQ(run(zstd(bomb, false), "zstd"), "413");
}

TEST(Decompress, RefusesAGzipThatLiesAboutItsSizeAsDamaged) {
  std::string lying = gzip(std::string(1'000, 'x'));
  lying[lying.size() - 3] = '\0';
  EXPECT_EQ(run(lying, "gzip"), "400");
}

TEST(Decompress, RefusesEveryPrefix) {
  const std::string text = noise(300);
  for (const auto& [encoding, whole] :
       {std::pair("gzip", gzip(text)), std::pair("zstd", zstd(text)),
        std::pair("zstd", zstd(text, false))}) {
    for (std::size_t size = 0; size < whole.size(); ++size) {
      EXPECT_EQ(run(whole.substr(0, size), encoding), "400") << encoding << size;
    }
    EXPECT_EQ(run(whole + "x", encoding), "400");
  }
}

TEST(Decompress, SurvivesFlippedBits) {
  const std::string text = noise(300) + std::string(300, 'x');
  for (const auto& [encoding, whole] :
       {std::pair("gzip", gzip(text)), std::pair("zstd", zstd(text))}) {
    for (std::size_t bit = 0; bit < whole.size() * 8; ++bit) {
      std::string damaged = whole;
      damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << bit % 8));
      const auto outcome = decompress(damaged, encoding, kLimit);
      const auto* out = std::get_if<std::string>(&outcome);
      EXPECT_TRUE(out == nullptr || out->size() <= kLimit);
    }
  }
}

TEST(Decompress, RefusesOtherEncodings) {
  for (const char* other : {"br", "deflate", "gzip, gzip", "x-gzip"}) {
    EXPECT_EQ(run("abc", other), "415");
  }
}

}  // namespace
}  // namespace log_aggregator::collector
