// Compressor encodes request bodies. It keeps its contexts from body to body; not thread-safe.

#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "src/format/api_format.h"

namespace log_aggregator {

class Compressor {
 public:
  Compressor();
  ~Compressor();

  // Puts the encoded `body` into `out`. False, with `out` of no use, where memory ran out.
  bool compress(Encoding encoding, std::string_view body, std::string& out);

 private:
  struct Contexts;
  const std::unique_ptr<Contexts> contexts_;
};

}  // namespace log_aggregator
