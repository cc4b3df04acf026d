// Compressor encodes request bodies. It keeps its contexts from body to body; not thread-safe.

#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "src/format/api_format.h"

namespace log_aggregator {

// How hard to compress: what is faster leaves more bytes.
enum class Strength { none, fast, usual };

class Compressor {
 public:
  Compressor();
  virtual ~Compressor();

  // Puts the encoded `body` into `out`, which takes no more memory than that needs. False, with
  // `out` of no use, where memory ran out. Not with Strength::none.
  virtual bool compress(Encoding encoding, Strength strength, std::string_view body,
                        std::string& out);

 private:
  struct Contexts;
  const std::unique_ptr<Contexts> contexts_;
};

}  // namespace log_aggregator
