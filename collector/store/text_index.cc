#include "collector/store/text_index.h"

#include "collector/search/words.h"

namespace log_aggregator::collector {

namespace {

// `fields` holds a token for each value of an extra field, made of its path and the value: one
// token, however long they are, and no other record's. Two that differ may have the same token, so
// that what is found must be compared. A record with more fields, or paths, than are worth it has
// kMore, too. Do not change either: stores hold them.
constexpr std::size_t kMaxFields = 256;
constexpr std::size_t kMaxPathBytes = 256;
constexpr std::string_view kMore = "more";

// Its own text is not kept (content=''): the records have it.
constexpr const char* kCreate = R"sql(
CREATE VIRTUAL TABLE record_text USING fts5 (
  message, logger_name, exception, fields,
  content = '', columnsize = 0, tokenize = '%TOKENIZER%'
))sql";

// FNV-1a, 64 bits.
std::uint64_t add_to_hash(std::uint64_t hash, std::string_view text) {
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return hash;
}

std::string field_token(std::string_view path, std::string_view value) {
  std::uint64_t hash = add_to_hash(0xcbf29ce484222325, path);
  hash = add_to_hash(hash, std::string_view("\0", 1));
  hash = add_to_hash(hash, value);
  std::string token;
  for (int digit = 0; digit < 13; ++digit, hash >>= 5) {
    token += "0123456789abcdefghijklmnopqrstuv"[hash & 31];
  }
  return token;
}

// Into `text`, whose memory is used again.
void write_field_tokens(const RecordView& record, std::string& text) {
  text.clear();
  std::size_t count = 0;
  for (const RecordField& field : record.fields()) {
    if (field.standard || !field.has_value) continue;
    const std::string path = record.path_of(field, kMaxPathBytes);
    if (path.empty() || ++count > kMaxFields) {
      text += kMore;
      return;
    }
    text += field_token(path, field.value);
    text += ' ';
  }
}

std::string phrase(const TextTerm& term) {
  std::string text = "\"";
  for (const std::string& word : term.words) text += (text.size() > 1 ? " " : "") + word;
  text += term.prefix ? "\" *" : "\"";
  return text;
}

// Empty where the index does not know it.
std::string expression_of(const TextTerm& term) {
  switch (term.in) {
    case TextTerm::In::message:
      return "message : " + phrase(term);
    case TextTerm::In::exception:
      return "exception : " + phrase(term);
    default:
      return "{message logger_name exception} : " + phrase(term);
  }
}

std::string expression_of(const FieldTerm& term) {
  if (term.prefix || is_standard_field(term.path)) return {};
  return "fields : (" + field_token(term.path, term.value) + " OR " + std::string(kMore) + ")";
}

std::string expression_of(const Term& term) {
  if (term.negated) return {};
  if (const auto* text = std::get_if<TextTerm>(&term.what)) return expression_of(*text);
  if (const auto* field = std::get_if<FieldTerm>(&term.what)) return expression_of(*field);
  return {};
}

Status index_all(Database& database) {
  auto index = TextIndex::prepare(database);
  if (!index.ok()) return index.status();
  auto records = database.prepare("SELECT id, json FROM record ORDER BY id");
  if (!records.ok()) return records.status();
  while (true) {
    const Statement::Step step = records->step();
    if (step == Statement::Step::done) return {};
    if (step == Statement::Step::error) return database.error();
    if (!index->add(records->integer(0), records->text(1))) return database.error();
  }
}

Status make_text_index(Database& database) {
  std::string create = kCreate;
  constexpr std::string_view kPlace = "%TOKENIZER%";
  create.replace(create.find(kPlace), kPlace.size(), kTokenizer);
  if (Status made = database.run(create.c_str()); !made.ok()) return made;
  return index_all(database);
}

}  // namespace

Result<bool> has_text_index(Database& database) {
  const auto tables = database.ask("SELECT count(*) FROM sqlite_master WHERE name = 'record_text'");
  if (!tables.ok()) return tables.status();
  return tables.value() > 0;
}

Status prepare_text_index(Database& database, bool wanted) {
  const auto there = has_text_index(database);
  if (!there.ok()) return there.status();
  if (there.value() == wanted) return {};
  if (Status begun = database.run("BEGIN IMMEDIATE"); !begun.ok()) return begun;
  Status done = wanted ? make_text_index(database) : database.run("DROP TABLE record_text");
  if (done.ok()) return database.run("COMMIT");
  const Status undone = database.run("ROLLBACK");
  static_cast<void>(undone);  // `done` says what went wrong first
  return done;
}

Result<TextIndex> TextIndex::prepare(Database& database) {
  auto insert = database.prepare(
      "INSERT INTO record_text (rowid, message, logger_name, exception, fields)"
      " VALUES (?, ?, ?, ?, ?)");
  if (!insert.ok()) return insert.status();
  TextIndex index;
  index.insert_ = std::move(insert).value();
  return index;
}

bool TextIndex::add(std::int64_t id, std::string_view json) {
  record_.read(json);
  write_field_tokens(record_, fields_);
  insert_.bind(1, id);
  insert_.bind(2, record_.message());
  insert_.bind(3, record_.logger());
  insert_.bind(4, record_.exception());
  insert_.bind(5, std::string_view(fields_));
  return insert_.run();
}

TextMatch match_expression(const Filter& filter) {
  TextMatch match;
  for (const Term& term : filter) {
    const std::string expression = expression_of(term);
    match.exact.push_back(!expression.empty() && std::holds_alternative<TextTerm>(term.what));
    if (expression.empty()) continue;
    if (!match.expression.empty()) match.expression += " AND ";
    match.expression += "(" + expression + ")";
  }
  return match;
}

}  // namespace log_aggregator::collector
