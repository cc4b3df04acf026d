#include "src/testing/sent_records.h"

#include <libdeflate.h>
#include <simdjson.h>
#include <zstd.h>

#include <cstring>
#include <memory>
#include <stdexcept>

namespace log_aggregator::testing {
namespace {

constexpr std::size_t kMaxBytes = 64 << 20;

std::string unzstd(std::string_view body) {
  const auto expected = ZSTD_getFrameContentSize(body.data(), body.size());
  if (expected > kMaxBytes) throw std::runtime_error("not zstd");
  std::string out(expected, '\0');
  const std::size_t size = ZSTD_decompress(out.data(), out.size(), body.data(), body.size());
  if (ZSTD_isError(size) != 0) throw std::runtime_error("not zstd");
  out.resize(size);
  return out;
}

std::string gunzip(std::string_view body) {
  const std::unique_ptr<libdeflate_decompressor, decltype(&libdeflate_free_decompressor)> decoder(
      libdeflate_alloc_decompressor(), &libdeflate_free_decompressor);
  if (body.size() < 4) throw std::runtime_error("not gzip");
  std::uint32_t expected = 0;  // gzip ends with the length, least significant byte first
  std::memcpy(&expected, body.data() + body.size() - 4, 4);
  if (expected > kMaxBytes) throw std::runtime_error("not gzip");
  std::string out(expected, '\0');
  std::size_t size = 0;
  if (libdeflate_gzip_decompress(decoder.get(), body.data(), body.size(), out.data(), out.size(),
                                 &size) != LIBDEFLATE_SUCCESS) {
    throw std::runtime_error("not gzip");
  }
  out.resize(size);
  return out;
}

}  // namespace

std::string decoded(std::string_view encoding, std::string_view body) {
  if (encoding == "zstd") return unzstd(body);
  if (encoding == "gzip") return gunzip(body);
  return std::string(body);
}

std::vector<std::string> records_of(std::string_view content_type, std::string_view body) {
  simdjson::dom::parser parser;
  std::vector<std::string> records;
  if (content_type == "application/x-ndjson") {
    if (!body.ends_with('\n')) throw std::runtime_error("NDJSON without a last line end");
    for (std::size_t end = 0; (end = body.find('\n')) != std::string_view::npos;
         body.remove_prefix(end + 1)) {
      const simdjson::dom::object record = parser.parse(std::string(body.substr(0, end)));
      records.push_back(simdjson::minify(record));
    }
    return records;
  }
  const simdjson::dom::element root = parser.parse(std::string(body));
  if (root.is_object()) return {simdjson::minify(root)};
  for (const simdjson::dom::element element : simdjson::dom::array(root)) {
    records.push_back(simdjson::minify(simdjson::dom::object(element)));
  }
  return records;
}

std::vector<std::uint64_t> numbers_of(const std::vector<std::string>& records,
                                      std::string_view name) {
  simdjson::dom::parser parser;
  std::vector<std::uint64_t> numbers;
  numbers.reserve(records.size());
  for (const std::string& record : records) {
    std::uint64_t number = 0;
    if (parser.parse(record)[name].get(number) == simdjson::SUCCESS) numbers.push_back(number);
  }
  return numbers;
}

}  // namespace log_aggregator::testing
