#include "src/handler/record_encoder.h"

#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <exception>
#include <new>

#include "src/base/exception_text.h"
#include "src/base/same_text.h"
#include "src/base/text.h"

namespace log_aggregator {
namespace {

// Buffers beyond this are let go after use.
constexpr std::size_t kKeptBytes = 64 << 10;

std::int64_t unix_microseconds(std::chrono::system_clock::time_point time) {
  if (time == std::chrono::system_clock::time_point{}) time = std::chrono::system_clock::now();
  return std::chrono::floor<std::chrono::microseconds>(time.time_since_epoch()).count();
}

std::string_view level_name(Level level) {
  switch (level) {
    case Level::trace:
      return "TRACE";
    case Level::debug:
      return "DEBUG";
    case Level::info:
      return "INFO";
    case Level::warning:
      return "WARNING";
    case Level::error:
      return "ERROR";
    case Level::critical:
      return "CRITICAL";
  }
  return {};
}

// ---- who logs

// Counted up in a child, whose threads have other numbers.
std::atomic<std::uint64_t> process_generation{1};

// Of the calling thread. Its name is kept outside, as a thread that ends may log still.
constexpr std::size_t kMaxThreadName = 64;
thread_local char chosen_thread_name[kMaxThreadName] = "";
thread_local std::uint64_t name_generation = 0;

std::uint64_t identity_now() {
  constexpr int kHalf = 32;
  return process_generation.load(std::memory_order_relaxed) << kHalf | name_generation;
}

void write_process_and_thread(JsonWriter& json, std::uint64_t thread) {
  json.member("process", ::getpid());
  json.member("processName", program_invocation_short_name);
  json.member("thread", static_cast<std::int64_t>(thread));
}

std::string thread_name() {
  if (chosen_thread_name[0] != '\0') return chosen_thread_name;
  char name[16] = "";
  ::pthread_getname_np(::pthread_self(), name, sizeof name);
  return name;
}

}  // namespace

void set_thread_name(std::string_view name) {
  name = start_of(name, kMaxThreadName - 1);
  std::copy(name.begin(), name.end(), chosen_thread_name);
  chosen_thread_name[name.size()] = '\0';
  ++name_generation;
}

std::uint64_t next_encoder_id() {
  static std::atomic<std::uint64_t> last{0};
  return last.fetch_add(1, std::memory_order_relaxed) + 1;
}

void renew_identities_in_child() { process_generation.fetch_add(1, std::memory_order_relaxed); }

// ---- fields

void Field::write(JsonWriter& json) const {
  if (kind_ == Kind::text) return json.member(name_, {value_.text.data, value_.text.size});
  if (kind_ == Kind::integer) return json.member(name_, value_.integer);
  json.key(name_);
  switch (kind_) {
    case Kind::boolean:
      return json.boolean(value_.boolean);
    case Kind::unsigned_integer:
      return json.unsigned_integer(value_.unsigned_integer);
    case Kind::real:
      return json.real(value_.real);
    default:
      return value_.other.write(json, value_.other.value);
  }
}

namespace {

// The functions of a value of the application may throw anything.
void write_field(JsonWriter& json, const Field& field) {
  const std::size_t before = json.size();
  try {
    field.write(json);
  } catch (const std::bad_alloc&) {
    throw;
  } catch (...) {
    json.rollback(before);
    json.member(field.name(), "[" + exception_text(std::current_exception()) + "]");
  }
}

}  // namespace

// ---- RecordEncoder

// A file's name may be another one at the same address, as a library is unloaded and another
// loaded; that then line and function should be the same as well, and the function's name another,
// is not to be expected.
bool RecordEncoder::Site::is(const SourceLocation& other, std::string_view other_logger) const {
  return source.file == other.file && source.line == other.line &&
         source.function == other.function && !json.empty() && same_text(logger, other_logger) &&
         (other.file == nullptr || std::strcmp(file.c_str(), other.file) == 0);
}

RecordEncoder::RecordEncoder(const Common& common)
    : logger_(common.logger),
      level_names_(common.level_names),
      writer_(common.prefix, common.max_record_bytes),
      sites_(std::make_unique<std::array<Site, kSites>>()) {}

std::string_view RecordEncoder::encode(const Record& record) {
  begin(record);
  if (record.exception) writer_.exception(exception_text(record.exception));
  if (!record.stack.empty()) writer_.stack(record.stack);
  if (!record.trace.trace_id.empty()) writer_.field("trace_id", record.trace.trace_id);
  if (!record.trace.span_id.empty()) writer_.field("span_id", record.trace.span_id);
  if (!record.fields.empty()) write_extra(record);
  return writer_.finish();
}

void RecordEncoder::begin(const Record& record) {
  Site& site = site_of(record.source, record.logger.empty() ? logger_ : record.logger);
  if (const std::uint64_t identity = identity_now(); identity != identity_) {
    renew_identity(identity);
  }
  const bool own = record.thread == 0 || record.thread == thread_id_;
  const bool stranger = !own || !record.thread_name.empty();
  if (!stranger && site.identity != identity_) add_identity(site);
  writer_.begin(unix_microseconds(record.time), level_name_of(record), record.message,
                stranger ? site.json : site.with_identity);
  if (stranger) write_stranger(record);
}

std::string_view RecordEncoder::level_name_of(const Record& record) {
  if (!record.level_name.empty()) return record.level_name;
  for (const auto& [number, name] : level_names_) {
    if (number == static_cast<int>(record.level)) return name;
  }
  const std::string_view usual = level_name(record.level);
  return usual.empty() ? unusual_level_name(record.level) : usual;
}

std::string_view RecordEncoder::unusual_level_name(Level level) {
  unusual_level_name_ = "Level " + std::to_string(static_cast<int>(level));
  return unusual_level_name_;
}

void RecordEncoder::trim() {
  if (writer_.json().size() > kKeptBytes) writer_.release();
}

RecordEncoder::Site& RecordEncoder::site_of(const SourceLocation& source, std::string_view logger) {
  constexpr int kFewZeros = 4;
  const auto address = reinterpret_cast<std::uintptr_t>(source.file) >> kFewZeros;
  Site& site = (*sites_)[(address ^ source.line) % kSites];
  if (!site.is(source, logger)) renew(site, source, logger);
  return site;
}

void RecordEncoder::renew(Site& site, const SourceLocation& source, std::string_view logger) {
  JsonWriter json;
  json.member("host_process", logger);
  json.member("logger_name", logger);
  if (source.file != nullptr) {
    std::string_view file = source.file;
    file.remove_prefix(file.rfind('/') + 1);  // npos + 1 is 0
    json.member("module", file.substr(0, file.rfind('.')));
    json.member("filename", file);
    json.member("lineno", source.line);
  }
  if (source.function != nullptr) json.member("funcName", source.function);
  site.json.clear();  // nothing that could be taken for the site, should there be no memory
  site.file = source.file == nullptr ? "" : source.file;
  site.logger = logger;
  site.source = source;
  site.identity = 0;
  site.json = "\"," + std::string(json.text());
}

void RecordEncoder::renew_identity(std::uint64_t identity) {
  thread_id_ = static_cast<std::uint64_t>(::syscall(SYS_gettid));
  JsonWriter json;
  write_process_and_thread(json, thread_id_);
  json.member("threadName", thread_name());
  identity_json_ = "," + std::string(json.text());
  identity_ = identity;
}

void RecordEncoder::add_identity(Site& site) {
  site.with_identity = site.json + identity_json_;
  site.identity = identity_;
}

// Of a thread that is not the one that encodes, or has another name in this record.
void RecordEncoder::write_stranger(const Record& record) {
  write_process_and_thread(writer_.json(), record.thread == 0 ? thread_id_ : record.thread);
  if (!record.thread_name.empty()) writer_.field("threadName", record.thread_name);
}

void RecordEncoder::write_extra(const Record& record) {
  writer_.begin_extra();
  for (const Field& field : record.fields) {
    const std::size_t before = writer_.json().size();
    write_field(writer_.json(), field);
    if (!writer_.extra_full()) continue;
    writer_.json().rollback(before);
    writer_.cut_extra_here();
    break;
  }
  writer_.end_extra();
}

// ---- the encoders of a thread

namespace {

// A program logs through one handler, or a few.
constexpr std::size_t kEncoders = 4;

struct Encoders {
  struct Slot {
    std::uint64_t id = 0;
    bool in_use = false;
    std::unique_ptr<RecordEncoder> encoder;
  };
  std::array<Slot, kEncoders> slots;
  std::size_t next = 0;

  // Null where it is in use.
  Slot* slot_of(const RecordEncoder::Common& common) {
    for (Slot& slot : slots) {
      if (slot.id == common.id) return slot.in_use ? nullptr : &slot;
    }
    return make_slot(common);
  }

  [[gnu::cold]] Slot* make_slot(const RecordEncoder::Common& common) {
    Slot& slot = slots[next];
    if (slot.in_use) return nullptr;
    slot.encoder = std::make_unique<RecordEncoder>(common);
    slot.id = common.id;
    next = (next + 1) % slots.size();
    return &slot;
  }
};

// Null before the first record, and again when the thread has begun to destroy what it has.
thread_local Encoders* encoders = nullptr;
thread_local bool ending = false;

struct Owner {
  ~Owner() {
    ending = true;
    delete encoders;
    encoders = nullptr;
  }
  void make() { encoders = new Encoders; }
};

// Null where the thread is ending.
[[gnu::cold]] Encoders* make_encoders() {
  if (ending) return nullptr;
  thread_local Owner owner;
  owner.make();
  return encoders;
}

}  // namespace

BorrowedEncoder::BorrowedEncoder(const RecordEncoder::Common& common) {
  Encoders* const own = encoders != nullptr ? encoders : make_encoders();
  if (Encoders::Slot* const slot = own == nullptr ? nullptr : own->slot_of(common)) {
    encoder_ = slot->encoder.get();
    in_use_ = &slot->in_use;
    *in_use_ = true;
    return;
  }
  another_ = std::make_unique<RecordEncoder>(common);
  encoder_ = another_.get();
}

BorrowedEncoder::~BorrowedEncoder() {
  if (in_use_ == nullptr) return;
  encoder_->trim();
  *in_use_ = false;
}

}  // namespace log_aggregator
