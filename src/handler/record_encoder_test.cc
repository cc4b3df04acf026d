#include "src/handler/record_encoder.h"

#include <gmock/gmock.h>
#include <simdjson.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <vector>

#include "src/base/exception_text.h"

namespace log_aggregator {

struct Order {
  int id;
};
void to_log_json(JsonWriter& json, const Order& order) {
  json.begin_object();
  json.key("id");
  json.integer(order.id);
  json.end_object();
}

struct Broken {};
void to_log_json(JsonWriter& json, const Broken&) {
  json.begin_array();
  json.string("half");
  throw std::runtime_error("no value");
}

namespace {

using simdjson::dom::element;
using ::testing::HasSubstr;

enum class Colour { red = 3 };
enum class Letter : char { a = 'a' };

static_assert(!JsonNullable<void (*)()>, "a function that was not called is no value");
static_assert(!JsonNullable<const unsigned char*>, "nobody knows whether that is a text");

class RecordEncoderTest : public ::testing::Test {
 public:
  template <typename... Parts>
  element encode(Level level, const Message& message, const Parts&... parts) {
    RecordParts<sizeof...(Parts)> collected(level, message);
    (collected.add(parts), ...);
    return encode(collected.record());
  }
  element encode(const Record& record) {
    BorrowedEncoder encoder(common_);
    return parser_.parse(simdjson::padded_string(encoder->encode(record)));
  }
  // The value of the one field of a record.
  template <typename T>
  std::string encoded(const T& value) {
    return simdjson::minify(encode(Level::info, "m", field("value", value))["extra"]["value"]);
  }
  static std::string text(simdjson::simdjson_result<element> value) {
    return std::string(std::string_view(value));
  }

  RecordEncoder::Common common_{.id = 1'000'001,
                                .prefix = R"("host":"here")",
                                .logger = "program",
                                .max_record_bytes = 1 << 20};
  simdjson::dom::parser parser_;
};

TEST_F(RecordEncoderTest, a_record_has_what_the_api_asks_for) {
  const element record = encode(Level::warning, "disk \"a\" full");
  const int next_line = __LINE__;
  EXPECT_EQ(text(record["level"]), "WARNING");
  EXPECT_EQ(text(record["host"]), "here");
  EXPECT_EQ(text(record["message"]), "disk \"a\" full");
  EXPECT_EQ(text(record["logger_name"]), "program");
  EXPECT_EQ(text(record["host_process"]), "program");
  EXPECT_EQ(text(record["filename"]), "record_encoder_test.cc");
  EXPECT_EQ(text(record["module"]), "record_encoder_test");
  EXPECT_EQ(text(record["funcName"]), "TestBody");
  EXPECT_EQ(std::int64_t(record["lineno"]), next_line - 1);
  EXPECT_EQ(std::int64_t(record["process"]), ::getpid());
  EXPECT_EQ(std::int64_t(record["thread"]), ::syscall(SYS_gettid));
  EXPECT_EQ(text(record["processName"]), "handler_tests");
  EXPECT_EQ(record["extra"].error(), simdjson::NO_SUCH_FIELD);
}

TEST_F(RecordEncoderTest, each_call_has_its_own_line) {
  const element first = encode(Level::info, "a");
  const std::int64_t line = first["lineno"];
  const element second = encode(Level::info, "b");
  EXPECT_EQ(std::int64_t(second["lineno"]), line + 2);
}

TEST_F(RecordEncoderTest, a_text_that_changes_under_an_address_is_noticed) {
  std::string file = "one.cc";
  Record record{.message = "m", .source = {.file = file.data(), .function = nullptr, .line = 1}};
  EXPECT_EQ(text(encode(record)["filename"]), "one.cc");
  file = "two.cc";
  EXPECT_EQ(text(encode(record)["filename"]), "two.cc");
}

TEST_F(RecordEncoderTest, what_is_not_known_of_a_source_is_left_out) {
  const element record = encode(Record{.message = "m"});
  EXPECT_EQ(record["filename"].error(), simdjson::NO_SUCH_FIELD);
  EXPECT_EQ(record["lineno"].error(), simdjson::NO_SUCH_FIELD);
  EXPECT_EQ(record["funcName"].error(), simdjson::NO_SUCH_FIELD);
}

TEST_F(RecordEncoderTest, levels_have_pythons_names) {
  EXPECT_EQ(text(encode(Level::trace, "m")["level"]), "TRACE");
  EXPECT_EQ(text(encode(Level::critical, "m")["level"]), "CRITICAL");
  EXPECT_EQ(text(encode(static_cast<Level>(25), "m")["level"]), "Level 25");
  EXPECT_EQ(text(encode(Record{.level_name = "NOTICE"})["level"]), "NOTICE");
}

TEST_F(RecordEncoderTest, a_logger_and_a_trace_may_be_named) {
  const element record = encode(Level::info, "m", logger("shop.orders"), trace("0af7", "b7ad"));
  EXPECT_EQ(text(record["logger_name"]), "shop.orders");
  EXPECT_EQ(text(record["host_process"]), "shop.orders");
  EXPECT_EQ(text(record["trace_id"]), "0af7");
  EXPECT_EQ(text(record["span_id"]), "b7ad");
}

TEST_F(RecordEncoderTest, fields_keep_their_types) {
  EXPECT_EQ(encoded(true), "true");
  EXPECT_EQ(encoded(-7), "-7");
  EXPECT_EQ(encoded(UINT64_MAX), "18446744073709551615");
  EXPECT_EQ(encoded(0.1F), "0.1");
  EXPECT_EQ(encoded(0.1), "0.1");
  EXPECT_EQ(encoded('x'), R"("x")");
  EXPECT_EQ(encoded("text"), R"("text")");
  EXPECT_EQ(encoded(std::string("own")), R"("own")");
  EXPECT_EQ(encoded(static_cast<const char*>(nullptr)), "null");
  EXPECT_EQ(encoded(nullptr), "null");
  EXPECT_EQ(encoded(Colour::red), "3");
  EXPECT_EQ(encoded(Letter::a), "97");
  EXPECT_EQ(encoded(std::filesystem::path("/tmp/x")), R"("/tmp/x")");
  EXPECT_EQ(encoded(u8"gr\u00fcn"), "\"gr\xC3\xBCn\"");
  EXPECT_EQ(encoded(std::u8string(u8"gr\u00fcn")), "\"gr\xC3\xBCn\"");
  EXPECT_EQ(encoded(static_cast<const char8_t*>(nullptr)), "null");
  EXPECT_EQ(encoded(std::optional<int>()), "null");
  EXPECT_EQ(encoded(std::optional<int>(4)), "4");
  EXPECT_EQ(encoded(std::vector<std::string>{"a", "b"}), R"(["a","b"])");
  EXPECT_EQ(encoded(std::map<std::string, std::vector<int>>{{"k", {1}}}), R"({"k":[1]})");
  EXPECT_EQ(encoded(Order{5}), R"({"id":5})");
  EXPECT_EQ(encoded(std::vector<Order>{{5}, {6}}), R"([{"id":5},{"id":6}])");
}

TEST_F(RecordEncoderTest, an_array_of_characters_is_read_to_its_nul_or_its_end) {
  struct {
    char full[4] = {'a', 'b', 'c', 'd'};
    char behind[4] = "xyz";
  } name;
  EXPECT_EQ(encoded(name.full), R"("abcd")");
  EXPECT_EQ(encoded(name.behind), R"("xyz")");
  EXPECT_EQ(text(encode(Level::info, name.full)["message"]), "abcd");
}

TEST_F(RecordEncoderTest, a_null_pointer_is_no_text) {
  const char* const none = nullptr;
  const element record = encode(Level::info, none, logger(none), trace(none, none));
  EXPECT_EQ(text(record["message"]), "");
  EXPECT_EQ(text(record["logger_name"]), "program");
  EXPECT_EQ(record["trace_id"].error(), simdjson::NO_SUCH_FIELD);
}

// Texts are cut first, whatever of it all is too long.
TEST_F(RecordEncoderTest, a_text_that_is_too_long_does_not_cost_the_fields) {
  common_.id = 1'000'002;
  common_.max_record_bytes = 2'000;
  const std::string longest(10'000, 'x');
  for (const std::size_t length : {std::size_t{1'700}, std::size_t{2'000}, longest.size()}) {
    const element record =
        encode(Level::info, longest.substr(0, length), field("order_id", 7), field("b", 8));
    EXPECT_EQ(simdjson::minify(record["extra"]), R"({"order_id":7,"b":8})") << length;
  }
  const element failed =
      encode(Level::info, "m", exception(std::make_exception_ptr(longest)), field("order_id", 7));
  EXPECT_EQ(simdjson::minify(failed["extra"]), R"({"order_id":7})");
  EXPECT_THAT(text(failed["exception"]), HasSubstr("xxx\xE2\x80\xA6[cut]"));
}

TEST_F(RecordEncoderTest, fields_that_are_too_many_are_marked_as_cut) {
  common_.id = 1'000'003;
  common_.max_record_bytes = 2'000;
  const std::vector<Field> fields(1'000, field("order_id", 7));
  const std::string message(500, 'm');
  const element record = encode(Record{.message = message, .fields = fields});
  const std::string extra = simdjson::minify(record["extra"]);
  EXPECT_THAT(extra, ::testing::StartsWith(R"({"order_id":7,"order_id":7,)"));
  EXPECT_THAT(extra, ::testing::EndsWith(R"("order_id":7,"cut":true})"));
  EXPECT_EQ(text(record["message"]), message);

  const std::string longest(10'000, 'x');
  const element both =
      encode(Level::info, longest, field("order_id", 7), field("text", longest), field("b", 8));
  EXPECT_EQ(simdjson::minify(both["extra"]), R"({"order_id":7,"cut":true})");
  EXPECT_THAT(text(both["message"]), HasSubstr("xxx\xE2\x80\xA6[cut]"));
}

TEST_F(RecordEncoderTest, a_value_that_throws_costs_only_itself) {
  const element record =
      encode(Level::info, "m", field("a", 1), field("broken", Broken()), field("b", 2));
  EXPECT_EQ(simdjson::minify(record["extra"]),
            R"({"a":1,"broken":"[std::runtime_error: no value]","b":2})");
}

TEST_F(RecordEncoderTest, an_exception_tells_its_type_and_its_causes) {
  try {
    try {
      throw std::system_error(std::make_error_code(std::errc::no_such_file_or_directory), "a.toml");
    } catch (...) {
      std::throw_with_nested(std::runtime_error("cannot start"));
    }
  } catch (...) {
    const element record = encode(Level::error, "m", exception());
    EXPECT_THAT(text(record["exception"]),
                ::testing::MatchesRegex("std::_Nested_exception<std::runtime_error>: cannot start\n"
                                        "caused by std::.*system_error: a.toml: No such file.*"));
  }
}

struct SaysNothing : std::exception {
  const char* what() const noexcept override { return nullptr; }
};

TEST_F(RecordEncoderTest, anything_can_be_thrown) {
  EXPECT_THAT(exception_text(std::make_exception_ptr(SaysNothing())), HasSubstr("SaysNothing: "));
  EXPECT_EQ(exception_text(std::make_exception_ptr(3)), "int");
  EXPECT_EQ(exception_text(std::make_exception_ptr(std::string("text"))),
            demangle(typeid(std::string).name()) + ": text");
  EXPECT_EQ(exception_text(nullptr), "");
  EXPECT_EQ(text(encode(Level::info, "m", exception())["message"]), "m");
}

TEST_F(RecordEncoderTest, threads_have_names_and_numbers_of_their_own) {
  std::thread([this] {
    const element first = encode(Level::info, "m");
    EXPECT_EQ(std::int64_t(first["thread"]), ::syscall(SYS_gettid));
    set_thread_name("worker \"7\"");
    EXPECT_EQ(text(encode(Level::info, "m")["threadName"]), "worker \"7\"");
    set_thread_name({});
    EXPECT_EQ(text(encode(Level::info, "m")["threadName"]), "handler_tests");
    std::string name(62, 'x');
    set_thread_name(name + "\xC3\xBC");  // whose last character does not fit
    EXPECT_EQ(text(encode(Level::info, "m")["threadName"]), name);
  }).join();
  EXPECT_EQ(text(encode(Level::info, "m")["threadName"]), "handler_tests");
}

TEST_F(RecordEncoderTest, a_record_of_another_thread_does_not_get_this_ones_name) {
  const element record = encode(Record{.message = "m", .thread = 4'000'000});
  EXPECT_EQ(std::int64_t(record["thread"]), 4'000'000);
  EXPECT_EQ(record["threadName"].error(), simdjson::NO_SUCH_FIELD);
  EXPECT_EQ(std::int64_t(record["process"]), ::getpid());
}

TEST_F(RecordEncoderTest, a_child_has_its_own_number) {
  encode(Level::info, "m");
  const pid_t child = ::fork();
  if (child == 0) {  // ForkWatch has called renew_identities_in_child()
    const element record = encode(Level::info, "m");
    const bool own = std::int64_t(record["process"]) == ::getpid() &&
                     std::int64_t(record["thread"]) == ::getpid();
    ::_exit(own ? 0 : 1);
  }
  int status = -1;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
}

TEST_F(RecordEncoderTest, a_value_that_logs_leaves_the_record_whole) {
  BorrowedEncoder outer(common_);
  const std::string first(outer->encode(Record{.message = "outer"}));
  encode(Level::info, "inner");  // while the outer one is in use
  EXPECT_THAT(first, HasSubstr("outer"));
}

TEST_F(RecordEncoderTest, a_thread_that_ends_can_log) {
  struct LogsAtTheEnd {
    RecordEncoderTest* test;
    ~LogsAtTheEnd() { EXPECT_EQ(text(test->encode(Level::info, "last")["message"]), "last"); }
  };
  std::thread([this] {
    thread_local LogsAtTheEnd at_the_end{this};
    at_the_end.test = this;
    encode(Level::info, "first");
  }).join();
}

TEST_F(RecordEncoderTest, a_time_of_its_own_is_kept) {
  using std::chrono::microseconds;
  const element record =
      encode(Record{.time = std::chrono::system_clock::time_point(microseconds(1'500'000))});
  EXPECT_EQ(text(record["timestamp"]), "1970-01-01T00:00:01.500000+00:00");
}

}  // namespace
}  // namespace log_aggregator
