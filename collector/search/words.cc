#include "collector/search/words.h"

#include <sqlite3.h>

#include <memory>
#include <stdexcept>

namespace log_aggregator::collector {

namespace {

// FTS5 cuts longer ones in the index.
constexpr std::size_t kMaxWordBytes = 32'768;

// SQLite hands a tokenizer out only with a connection, and it keeps a buffer of its own: so each
// thread has one, on a database in memory.
class Tokenizer {
 public:
  Tokenizer() {
    sqlite3* raw = nullptr;
    const int code =
        sqlite3_open_v2(":memory:", &raw, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, nullptr);
    database_.reset(raw);
    const fts5_api* api = code == SQLITE_OK ? find_api() : nullptr;
    if (api == nullptr) throw std::runtime_error("this SQLite has no FTS5");
    void* context = nullptr;
    if (api->xFindTokenizer(const_cast<fts5_api*>(api), "unicode61", &context, &methods_) !=
        SQLITE_OK) {
      throw std::runtime_error("this SQLite has no tokenizer unicode61");
    }
    const char* arguments[] = {"remove_diacritics", "2"};
    if (methods_.xCreate(context, arguments, 2, &instance_) != SQLITE_OK) throw std::bad_alloc();
  }
  ~Tokenizer() { methods_.xDelete(instance_); }
  Tokenizer(const Tokenizer&) = delete;
  Tokenizer& operator=(const Tokenizer&) = delete;

  void split(std::string_view text, Words& words) {
    const int code = methods_.xTokenize(
        instance_, &words, FTS5_TOKENIZE_DOCUMENT, text.data(), static_cast<int>(text.size()),
        [](void* out, int /*flags*/, const char* word, int size, int, int) {
          const auto bytes = static_cast<std::size_t>(size);
          static_cast<Words*>(out)->add({word, std::min(bytes, kMaxWordBytes)});
          return SQLITE_OK;
        });
    if (code != SQLITE_OK) throw std::bad_alloc();
  }

 private:
  struct Close {
    void operator()(sqlite3* database) const { sqlite3_close_v2(database); }
  };

  const fts5_api* find_api() {
    fts5_api* api = nullptr;
    sqlite3_stmt* statement = nullptr;
    if (sqlite3_prepare_v2(database_.get(), "SELECT fts5(?1)", -1, &statement, nullptr) ==
        SQLITE_OK) {
      sqlite3_bind_pointer(statement, 1, static_cast<void*>(&api), "fts5_api_ptr", nullptr);
      sqlite3_step(statement);
    }
    sqlite3_finalize(statement);
    return api;
  }

  std::unique_ptr<sqlite3, Close> database_;
  fts5_tokenizer methods_{};
  Fts5Tokenizer* instance_ = nullptr;
};

}  // namespace

void Words::split(std::string_view text) {
  thread_local Tokenizer tokenizer;
  text_.clear();
  ends_.clear();
  if (!text.empty()) tokenizer.split(text, *this);
}

void Words::add(std::string_view word) {
  text_ += word;
  ends_.push_back(text_.size());
}

}  // namespace log_aggregator::collector
