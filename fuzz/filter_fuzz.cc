// Any bytes as a query for records (docs/search.md), and what it says of a record.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

#include "collector/search/filter.h"
#include "collector/search/matcher.h"
#include "fuzz/expect.h"

using namespace log_aggregator;

namespace {

constexpr std::string_view kRecord =
    R"({"message":"Ueber caf\u00e9: a/b-c 123 \ud83d\ude00","level":"WARNING","logger_name":"app.db",)"
    R"("host":"web-1","exception":"E\n  f","lineno":7,"extra":{"a":{"b":[1,"x",null,true]},"c":"d e"}})";

// A term and its opposite never agree, and to ask again changes nothing.
void check(collector::Matcher& matcher, const collector::Term& term) {
  collector::Term opposite = term;
  opposite.negated = !term.negated;
  const bool found = matcher.matches(collector::Filter{term});
  expect(found == matcher.matches(collector::Filter{term}));
  expect(found != matcher.matches(collector::Filter{opposite}));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* input, std::size_t size) {
  const std::string query(reinterpret_cast<const char*>(input), size);
  const auto parsed = collector::parse_filter(query);
  if (const auto* error = std::get_if<collector::FilterError>(&parsed)) {
    expect(error->position + error->length <= query.size());
    expect(!error->reason.empty());
    return 0;
  }
  const auto& filter = std::get<collector::Filter>(parsed);
  expect(filter.size() <= 100);
  collector::Matcher matcher;
  matcher.look_at(kRecord);
  bool all = true;
  for (const collector::Term& term : filter) {
    check(matcher, term);
    all = all && matcher.matches(collector::Filter{term});
  }
  expect(matcher.matches(filter) == all);
  return 0;
}
