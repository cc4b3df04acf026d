#include "collector/search/filter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace log_aggregator::collector {

static void PrintTo(const FilterError& error, std::ostream* out) {
  *out << error.position << "+" << error.length << ": " << error.reason;
}

namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using Comparison = LevelTerm::Comparison;

Filter parsed(std::string_view query) {
  auto result = parse_filter(query);
  if (const auto* error = std::get_if<FilterError>(&result)) {
    ADD_FAILURE() << query << ": " << testing::PrintToString(*error);
    return {};
  }
  return std::get<Filter>(result);
}

FilterError refused(std::string_view query) {
  auto result = parse_filter(query);
  if (auto* error = std::get_if<FilterError>(&result)) return *error;
  ADD_FAILURE() << query << " was taken";
  return {};
}

Term text(std::vector<std::string> words, bool prefix = false, bool negated = false,
          TextTerm::In in = TextTerm::In::any) {
  return {TextTerm{in, std::move(words), prefix}, negated};
}

Term field(std::string path, std::string value, bool prefix = false) {
  return {FieldTerm{std::move(path), std::move(value), prefix}, false};
}

TEST(Filter, TakesWordsPhrasesPrefixesAndTheirNegation) {
  EXPECT_THAT(parsed(" \t "), IsEmpty());
  EXPECT_THAT(parsed("Timeout  \"Connection  RESET\""),
              ElementsAre(text({"timeout"}), text({"connection", "reset"})));
  EXPECT_THAT(parsed("time* \"connection re\"*"),
              ElementsAre(text({"time"}, true), text({"connection", "re"}, true)));
  EXPECT_THAT(parsed("-debug -\"a b\""),
              ElementsAre(text({"debug"}, false, true), text({"a", "b"}, false, true)));
}

TEST(Filter, TakesAWordWithPunctuationForThePhraseOfItsParts) {
  EXPECT_THAT(parsed("/api/v1 app.db"), ElementsAre(text({"api", "v1"}), text({"app", "db"})));
  EXPECT_THAT(parsed("http://h:80/x"), ElementsAre(text({"http", "h", "80", "x"})));
  EXPECT_THAT(parsed("std::bad_alloc 12:30"),
              ElementsAre(text({"std", "bad", "alloc"}), text({"12", "30"})));
}

TEST(Filter, TakesCaseAndDiacriticsOffWords) {
  EXPECT_THAT(parsed("ÜBER"), ElementsAre(text({"uber"})));
}

TEST(Filter, UnquotesWithBackslashes) {
  EXPECT_THAT(parsed(R"(note="say \"hi\" \\")"), ElementsAre(field("note", R"(say "hi" \)")));
}

TEST(Filter, LimitsWordsToAField) {
  EXPECT_THAT(parsed("message:timeout exception=\"Value Error\""),
              ElementsAre(text({"timeout"}, false, false, TextTerm::In::message),
                          text({"value", "error"}, false, false, TextTerm::In::exception)));
}

TEST(Filter, ComparesLevels) {
  const std::pair<const char*, LevelTerm> cases[] = {
      {"level:error", {Comparison::equal, "error", 0}},
      {"level=AUDIT", {Comparison::equal, "AUDIT", 0}},
      {"level>=WARNING", {Comparison::greater_or_equal, "WARNING", 30}},
      {"level>warn", {Comparison::greater, "warn", 30}},
      {"level<=20", {Comparison::less_or_equal, "20", 20}},
      {"level<\"Level 15\"", {Comparison::less, "Level 15", 15}},
  };
  for (const auto& [query, term] : cases) {
    EXPECT_THAT(parsed(query), ElementsAre(Term{term, false})) << query;
  }
}

TEST(Filter, TakesLoggersAndHostsWholeOrByTheirBeginning) {
  using Of = NameTerm::Of;
  EXPECT_THAT(parsed("logger:app.* logger=app -host:web-*"),
              ElementsAre(Term{NameTerm{Of::logger, "app.", true}, false},
                          Term{NameTerm{Of::logger, "app", false}, false},
                          Term{NameTerm{Of::host, "web-", true}, true}));
}

TEST(Filter, TakesAnyOtherNameForAField) {
  EXPECT_THAT(
      parsed("user_id=123 request.path:/orders x-id=a=b größe=3 empty=\"\" any=*"),
      ElementsAre(field("user_id", "123"), field("request.path", "/orders"), field("x-id", "a=b"),
                  field("größe", "3"), field("empty", ""), field("any", "", true)));
}

TEST(Filter, PointsAtWhatIsWrong) {
  struct Case {
    const char* query;
    std::size_t position;
    std::size_t length;
    const char* reason;
  };
  const Case cases[] = {
      {"ok \"open", 3, 1, "the quote is not closed"},
      {"\"a\"b", 3, 1, "a blank is missing after the quote"},
      {"é level>=LOUD x", 9, 4, "no level to compare with"},
      {"level:ERR*", 6, 4, "named in full"},
      {"size>5", 0, 6, "only level can be compared by >"},
      {"a OR b", 2, 2, "OR is not part of the language"},
      {"a -NOT", 3, 3, "NOT is not part of the language"},
      {"logger:", 0, 7, "the value is missing"},
      {"a !!!", 2, 3, "there is no letter or digit"},
      {"- a", 0, 1, "there is no letter or digit"},
      {"*", 0, 1, "there is no letter or digit"},
      {"message:...", 0, 11, "there is no letter or digit"},
  };
  for (const auto& [query, position, length, reason] : cases) {
    const FilterError error = refused(query);
    EXPECT_EQ(error.position, position) << query;
    EXPECT_EQ(error.length, length) << query;
    EXPECT_THAT(error.reason, HasSubstr(reason)) << query;
  }
}

TEST(Filter, RefusesWhatIsTooLong) {
  EXPECT_THAT(parse_filter(std::string(4096, 'a')), testing::VariantWith<Filter>(testing::_));
  EXPECT_THAT(refused(std::string(4097, 'a')).reason, HasSubstr("longer than 4096 bytes"));
  std::string terms;
  for (int i = 0; i < 101; ++i) terms += "a ";
  EXPECT_THAT(refused(terms).reason, HasSubstr("more than 100 terms"));
  EXPECT_EQ(refused(terms).position, 200);
}

TEST(Filter, SearchesForOperatorsInQuotes) {
  EXPECT_THAT(parsed("\"OR\" or"), ElementsAre(text({"or"}), text({"or"})));
}

TEST(Filter, ComparesOnlyLevelsThatItKnows) {
  const LevelTerm warning_up{Comparison::greater_or_equal, "WARNING", 30};
  for (const char* level : {"WARNING", "warn", "ERROR", "Fatal", "Level 35", "35"}) {
    EXPECT_TRUE(matches(warning_up, level)) << level;
  }
  for (const char* level : {"INFO", "AUDIT", "", "Level 29", "Level ", "30x"}) {
    EXPECT_FALSE(matches(warning_up, level)) << level;
  }
  EXPECT_TRUE(matches(LevelTerm{Comparison::equal, "audit", 0}, "AUDIT"));
}

}  // namespace
}  // namespace log_aggregator::collector
