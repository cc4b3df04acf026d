#include "python/binding/capsule.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "log_aggregator/handler_functions.h"
#include "python/binding/gil.h"
#include "python/binding/text.h"

namespace log_aggregator::python {
namespace {

// What one capsule stands for. Constant but for the last two.
struct Bridge {
  HandlerFunctions functions;
  Handler* handler;
  std::vector<std::pair<int, std::string>> level_names;
  std::vector<LogAggregatorLevelName> levels;  // the same, for the functions
  PyObject* kept;                              // the handler's owners
  std::atomic<std::size_t> holders{1};
  Bridge* next = nullptr;  // among those let go without the interpreter lock
};

std::atomic<Bridge*> let_go{nullptr};

Bridge& bridge_of(void* handler) { return *static_cast<Bridge*>(handler); }

// In the main interpreter.
void destroy(Bridge* bridge) {
  PyObject* const kept = bridge->kept;
  delete bridge;
  Py_DECREF(kept);
}

void destroy_what_was_let_go() {
  // Acquire: all that its holders did with it is done.
  Bridge* bridge = let_go.exchange(nullptr, std::memory_order_acquire);
  while (bridge != nullptr) destroy(std::exchange(bridge, bridge->next));
}

// Calls a function that may wait, without the interpreter lock where the thread has it.
template <typename Function>
auto wait_in(const Function& function) {
  if (!holds_gil()) return function();
  return never_unwound([&] { return without_gil(function); });
}

// ---- the functions

void retain(void* handler) { bridge_of(handler).holders.fetch_add(1, std::memory_order_relaxed); }

void release(void* handler) {
  Bridge* const bridge = &bridge_of(handler);
  if (bridge->holders.fetch_sub(1, std::memory_order_acq_rel) > 1) return;
  if (is_in_main_interpreter()) {
    never_unwound([bridge] {
      destroy(bridge);
      return true;
    });
    return;
  }
  bridge->next = let_go.load(std::memory_order_relaxed);
  while (!let_go.compare_exchange_weak(bridge->next, bridge, std::memory_order_release,
                                       std::memory_order_relaxed)) {
  }
}

int log_json(void* handler, int severity, const char* record, std::size_t size, int may_wait) {
  Handler& own = *bridge_of(handler).handler;
  const std::string_view json(record, size);
  std::optional<bool> taken = own.try_log_json(severity, json);
  if (!taken && may_wait == 0) return -1;
  if (!taken) taken = wait_in([&] { return own.log_json(severity, json); });
  return *taken ? 1 : 0;
}

int flush(void* handler, std::int64_t timeout_ms) {
  std::optional<std::chrono::milliseconds> timeout;
  if (timeout_ms >= 0) timeout = std::chrono::milliseconds(timeout_ms);
  return wait_in([&] { return bridge_of(handler).handler->flush(timeout); }) ? 1 : 0;
}

int check_connection(void* handler) {
  return wait_in([&] { return bridge_of(handler).handler->check_connection(); }) ? 1 : 0;
}

void copy(const Stats& from, LogAggregatorStats& to) {
  to.accepted = from.accepted;
  to.delivered = from.delivered;
  to.pending = from.pending;
  to.pending_bytes = from.pending_bytes;
  to.durable = from.durable;
  to.adopted_delivered = from.adopted_delivered;
  to.adopted_dropped = from.adopted_dropped;
  to.retries = from.retries;
  to.batches = from.batches;
  to.bytes_sent = from.bytes_sent;
  for (std::size_t cause = 0; cause < kDropCauses; ++cause) {
    std::copy(from.dropped[cause].begin(), from.dropped[cause].end(), to.dropped[cause]);
  }
  from.last_error.copy(to.last_error, sizeof to.last_error - 1);
}

int stats(void* handler, LogAggregatorStats* stats, std::size_t size) {
  LogAggregatorStats own{};
  try {
    copy(bridge_of(handler).handler->stats(), own);
  } catch (const std::bad_alloc&) {
    return 0;
  }
  std::memcpy(stats, &own, std::min(size, sizeof own));
  return 1;
}

// ---- making one

constexpr std::pair<std::string_view, int> kLevels[] = {
    {"TRACE", 5}, {"DEBUG", 10}, {"INFO", 20}, {"WARNING", 30}, {"ERROR", 40}, {"CRITICAL", 50}};

// The entries of a level_map: of a level's number first, then of its name, which a record's own
// look-up prefers in that order.
std::vector<std::pair<int, std::string>> read_level_map(PyObject* map) {
  std::vector<std::pair<int, std::string>> names;
  std::vector<std::pair<int, std::string>> by_name;
  PyObject* key = nullptr;
  PyObject* value = nullptr;
  Py_ssize_t position = 0;
  while (PyDict_Next(map, &position, &key, &value) != 0) {
    std::string name(Utf8(value).view());
    if (PyLong_Check(key)) {
      int overflow = 0;
      const long number = PyLong_AsLongAndOverflow(key, &overflow);
      if (overflow == 0 && std::in_range<int>(number)) {
        names.emplace_back(static_cast<int>(number), std::move(name));
      }
      continue;
    }
    const Utf8 level(key);
    for (const auto& [known, number] : kLevels) {
      if (known == level.view()) by_name.emplace_back(number, name);
    }
  }
  names.insert(names.end(), by_name.begin(), by_name.end());
  return names;
}

std::unique_ptr<Bridge> make_bridge(const Core& core) {
  auto bridge = std::make_unique<Bridge>();
  bridge->handler = core.handler.get();
  if (core.level_map) bridge->level_names = read_level_map(core.level_map.get());
  for (const auto& [level, name] : bridge->level_names) {
    bridge->levels.push_back({.level = level, .name = name.c_str()});
  }
  const std::string& prefix = core.handler->record_prefix();
  bridge->functions = {.version = LOG_AGGREGATOR_HANDLER_FUNCTIONS_VERSION,
                       .size = sizeof(HandlerFunctions),
                       .handler = bridge.get(),
                       .retain = retain,
                       .release = release,
                       .log_json = log_json,
                       .flush = flush,
                       .check_connection = check_connection,
                       .stats = stats,
                       .record_prefix = prefix.data(),
                       .record_prefix_size = prefix.size(),
                       .max_record_bytes = core.handler->options().max_record_bytes,
                       .level_names = bridge->levels.data(),
                       .level_names_size = bridge->levels.size()};
  return bridge;
}

void destroy_capsule(PyObject* capsule) {
  const auto* const functions = static_cast<const HandlerFunctions*>(
      PyCapsule_GetPointer(capsule, LOG_AGGREGATOR_HANDLER_FUNCTIONS_NAME));
  functions->release(functions->handler);
}

}  // namespace

PyObject* make_capsule(PyObject* core, PyObject* keeper) try {
  const Core* const own = core_of(core);
  if (!own) return nullptr;
  destroy_what_was_let_go();
  std::unique_ptr<Bridge> bridge = make_bridge(*own);
  bridge->kept = PyTuple_Pack(2, keeper, core);
  if (!bridge->kept) return nullptr;
  PyObject* const capsule =
      PyCapsule_New(&bridge->functions, LOG_AGGREGATOR_HANDLER_FUNCTIONS_NAME, destroy_capsule);
  if (!capsule) {
    destroy(bridge.release());
    return nullptr;
  }
  (void)bridge.release();  // the capsule's
  return capsule;
} catch (const std::bad_alloc&) {
  return PyErr_NoMemory();
}

}  // namespace log_aggregator::python
