/* LogAggregatorHandlerFunctions lets one copy of this library log through a handler of another.
 *
 * A process may hold several copies, of several versions: one in the Python package, one in each
 * extension module. None may touch another's objects. What passes between them is this table of C
 * functions, and what it points at. In C++, Handler::join() makes a Handler of a table, and
 * handler_of() in python.h finds the one of a Python handler. It is C, so that a program in another
 * language can use it, too: whoever writes records as the API takes them.
 *
 * The table and all that it points at live as long as somebody holds the handler: from the call of
 * retain() to that of release(). Every function may be called from any thread, with or without the
 * lock of the interpreter that the handler belongs to, also while that ends and afterwards. Those
 * that may wait (log_json() with `may_wait`, flush(), check_connection()) are not for threads that
 * are in a sub-interpreter: callables of the main one would run there, and on CPython 3.10 and 3.11
 * the lock may be kept while they wait.
 *
 * Stable: what is there does not change; what is new comes at the end, and `size` tells. */

#pragma once

#include <stddef.h> /* NOLINT(modernize-deprecated-headers): C */
#include <stdint.h> /* NOLINT(modernize-deprecated-headers) */

#ifdef __cplusplus
extern "C" {
#endif

/* Of the table that is described here. */
#define LOG_AGGREGATOR_HANDLER_FUNCTIONS_VERSION 1
/* The name of the Python capsule that points at a table. */
#define LOG_AGGREGATOR_HANDLER_FUNCTIONS_NAME "log_aggregator_handler.handler_functions"

#define LOG_AGGREGATOR_DROP_CAUSES 32 /* more than there are, for those that come */
#define LOG_AGGREGATOR_DROP_LEVELS 5  /* as in stats.h */

/* As in stats.h. */
struct LogAggregatorStats {
  uint64_t accepted;          /* Stats::accepted */
  uint64_t delivered;         /* Stats::delivered */
  uint64_t pending;           /* Stats::pending */
  uint64_t pending_bytes;     /* Stats::pending_bytes */
  uint64_t durable;           /* Stats::durable */
  uint64_t adopted_delivered; /* Stats::adopted_delivered */
  uint64_t adopted_dropped;   /* Stats::adopted_dropped */
  uint64_t retries;           /* Stats::retries */
  uint64_t batches;           /* Stats::batches */
  uint64_t bytes_sent;        /* Stats::bytes_sent */
  /* Stats::dropped, by cause and level. */
  uint64_t dropped[LOG_AGGREGATOR_DROP_CAUSES][LOG_AGGREGATOR_DROP_LEVELS];
  char last_error[512]; /* ends with a NUL, cut where it is longer */
};

/* What the API calls a level. */
struct LogAggregatorLevelName {
  int level;        /* on the scale of Level */
  const char* name; /* UTF-8 */
};

/* The table. */
struct LogAggregatorHandlerFunctions {
  uint32_t version; /* another one means that nothing below is as it says here */
  uint32_t size;    /* of the whole table, in bytes */
  void* handler;    /* the first argument of each function */

  /* Who was given the table holds the handler until it gives that up; retain() is for one more
   * holder. The last release() may wait, as closing a handler does, where the interpreter's lock is
   * held; it never waits for that lock. */
  void (*retain)(void* handler);
  void (*release)(void* handler); /* the counterpart of retain() */

  /* Hands over one record: a JSON object on one line, which begins as said below. Returns 1 where
   * it was taken, 0 where not, as Handler::log_json(). Where it would wait and `may_wait` is 0, it
   * returns -1 and nothing has happened. An interpreter's lock is let go of while it waits. */
  int (*log_json)(void* handler, int severity, const char* record, size_t size, int may_wait);

  /* As the methods of Handler. A negative timeout stands for the handler's own. */
  int (*flush)(void* handler, int64_t timeout_ms);
  int (*check_connection)(void* handler); /* 1 for an answer of 2xx */
  /* Fills in the first `size` bytes of `stats`. Returns 0 where there is no memory for it. */
  int (*stats)(void* handler, struct LogAggregatorStats* stats, size_t size);

  /* What records have in common, as members of a JSON object: the host and the static fields. */
  const char* record_prefix;
  size_t record_prefix_size; /* in bytes */
  /* A longer record is to be cut. */
  size_t max_record_bytes;
  /* The API's names of levels, where they are not the usual ones. */
  const struct LogAggregatorLevelName* level_names;
  size_t level_names_size; /* how many */
};

#ifdef __cplusplus
}

namespace log_aggregator {
// The table's name in C++.
using HandlerFunctions = ::LogAggregatorHandlerFunctions;
}  // namespace log_aggregator
#endif
