#include "cli/records.h"

#include <simdjson.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "cli/commands.h"
#include "cli/record_text.h"
#include "cli/terminal_text.h"
#include "collector/http/json_text.h"
#include "src/base/text.h"

namespace log_aggregator::cli {

namespace {

namespace dom = simdjson::dom;

Result<std::int64_t> read_id(std::string_view record) {
  const simdjson::padded_string padded(record);
  simdjson::ondemand::parser parser;
  simdjson::ondemand::document document;
  std::int64_t id = 0;
  const bool read = parser.iterate(padded).get(document) == simdjson::SUCCESS &&
                    document["id"].get(id) == simdjson::SUCCESS;
  if (!read) return Status::unavailable("a record in the answer has no id");
  return id;
}

Status read_records(std::string_view list, std::vector<ListedRecord>& records) {
  const auto parts = collector::split_json(list, list.size());
  if (!parts) return Status::unavailable("the answer is not a list of records");
  for (const std::string_view record : *parts) {
    const auto id = read_id(record);
    if (!id.ok()) return id.status();
    records.push_back({id.value(), std::string(record)});
  }
  return {};
}

bool wants_colours() {
  const char* terminal = std::getenv("TERM");
  const bool is_dumb = terminal == nullptr || std::string_view(terminal) == "dumb";
  return isatty(STDOUT_FILENO) == 1 && !is_dumb && std::getenv("NO_COLOR") == nullptr;
}

// How many bytes the first `count` characters of a text have.
std::size_t bytes_of(std::string_view utf8, std::size_t count) {
  std::size_t bytes = 0;
  for (; count > 0 && bytes < utf8.size(); --count) {
    ++bytes;
    while (bytes < utf8.size() && (utf8[bytes] & 0xc0) == 0x80) ++bytes;
  }
  return bytes;
}

std::size_t characters_of(std::string_view utf8) {
  return static_cast<std::size_t>(
      std::count_if(utf8.begin(), utf8.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

// The query, and below it a mark for the characters concerned. Those that take two columns are not
// worth a table: the mark is then too far to the left.
void print_mark(std::string_view query, std::size_t position, std::size_t length) {
  const std::size_t begin = bytes_of(query, position);
  const std::string before = neutralised(query.substr(0, begin));
  const std::string concerned =
      neutralised(query.substr(begin, bytes_of(query.substr(begin), length)));
  std::fprintf(stderr, "  %s\n  %s%s\n", neutralised(query).c_str(),
               std::string(characters_of(before), ' ').c_str(),
               std::string(std::max<std::size_t>(characters_of(concerned), 1), '^').c_str());
}

}  // namespace

void RecordOptions::add_to(CLI::App& command) {
  command.add_option("--level", levels, "Only records of this level; may be repeated")
      ->type_name("LEVEL")
      ->allow_extra_args(false);
  command.add_option("--logger", logger, "Only records of this logger")->type_name("NAME");
  command.add_option("--host", host, "Only records of this host")->type_name("NAME");
}

std::string RecordOptions::parameters(Client& client) const {
  std::string text;
  if (!query.empty()) text += "&query=" + client.encode(query);
  for (const std::string& level : levels) text += "&level=" + client.encode(level);
  if (!logger.empty()) text += "&logger=" + client.encode(logger);
  if (!host.empty()) text += "&host=" + client.encode(host);
  return text;
}

// The members of {"records":[...],"next":...}; the texts of records are kept as they came.
Result<ListedPage> read_page(std::string_view body) {
  const auto members = collector::split_json(body, body.size());
  bool has_records = false;
  ListedPage page;
  for (const std::string_view member : members.value_or(std::vector<std::string_view>())) {
    const std::string_view name = member.substr(0, member.find(':'));
    const std::string_view value =
        trim_blanks(member.substr(std::min(name.size() + 1, member.size())));
    if (trim_blanks(name) == "\"next\"" && value.size() > 2 && value.front() == '"') {
      page.next = value.substr(1, value.size() - 2);
    }
    if (trim_blanks(name) != "\"records\"") continue;
    if (Status read = read_records(value, page.records); !read.ok()) return read;
    has_records = true;
  }
  if (!has_records) return Status::unavailable("the answer is not a list of records");
  return page;
}

int fail_refused(const ClientAnswer& answer, const std::string& url, const std::string& query) {
  dom::parser parser;
  dom::object error;
  std::string_view reason;
  std::uint64_t position = 0;
  std::uint64_t length = 0;
  const bool has_place = answer.status == 400 &&
                         parser.parse(answer.body).get(error) == simdjson::SUCCESS &&
                         error["error"].get(reason) == simdjson::SUCCESS &&
                         error["position"].get(position) == simdjson::SUCCESS &&
                         error["length"].get(length) == simdjson::SUCCESS;
  if (!has_place) return fail(refusal(answer, url));
  print_error(reason);
  print_mark(query, position, length);
  return 2;
}

RecordPrinter::RecordPrinter(bool json) : json_(json), colours_(!json && wants_colours()) {}

Status RecordPrinter::print(std::string_view record) const {
  std::string line;
  if (json_) {
    line = neutralised_json(record) + '\n';
  } else {
    auto text = record_text(record, colours_);
    if (!text.ok()) return text.status();
    line = std::move(text).value();
  }
  std::fwrite(line.data(), 1, line.size(), stdout);
  return {};
}

Status RecordPrinter::flush() const {
  if (std::fflush(stdout) != 0) return Status::unavailable("cannot write to standard output");
  return {};
}

}  // namespace log_aggregator::cli
