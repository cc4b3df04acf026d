// Options: everything that can be chosen about a Handler, with its default, unit and trade-off.
//
// Only api_endpoint is needed. Handler::create checks the rest and says what is wrong.

#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "log_aggregator/export.h"
#include "log_aggregator/json_value.h"
#include "log_aggregator/status.h"

namespace log_aggregator {

// A header of HTTP requests.
struct Header {
  std::string name;   // as `Authorization`
  std::string value;  // a secret, often: it is never shown in reports
};
// Headers in the order in which they are sent.
using Headers = std::vector<Header>;

// The header of HTTP Basic authentication.
LOG_AGGREGATOR_API Header basic_auth(std::string_view user, std::string_view password);

// invalid_argument for a name that is no HTTP token, a value with a line break or a NUL.
LOG_AGGREGATOR_API Status check_header(const Header& header);

// A static field of every record: its name and its value as JSON text.
struct StaticField {
  std::string name;  // a member of the record at top level
  std::string json;  // one value, valid
};
// With a value of any type that write_json() takes.
template <typename T>
StaticField static_field(std::string_view name, const T& value) {
  JsonWriter json;
  write_json(json, value);
  return {std::string(name), std::string(json.text())};
}

// What happens to a record that finds the queue full. Records at WARNING (30) and above may use
// the whole queue, others nine tenths of it, so that a flood of DEBUG cannot keep out an ERROR.
enum class Overflow {
  drop_newest,  // it is dropped and counted as queue_full
  drop_oldest,  // the oldest records that are not under way make room, counted as evicted
  block,        // the log call waits up to block_timeout, then drops it as block_timeout
};

// How the bodies of requests are compressed.
enum class Compression {
  automatic,  // zstd, else gzip, where the server says that it takes it; else none. None also while
              // compressing, and not the network, keeps records waiting
  zstd,       // always, whatever the server says; at a faster level then
  gzip,       // likewise; understood by more servers, and slower
  none,       // bodies are sent as they are
};

// What a record that was accepted into the spool survives.
enum class Durability {
  process,  // the death of the process, however it comes; a power cut loses what the system has not
            // written to the disk yet, commonly the last 30 s
  power,    // also a power cut, but for what was logged within the last sync_interval
};

// The fields' defaults are good for a service that logs to a collector nearby.
struct Options {
  // Where records are posted, for example "http://127.0.0.1:8080/api/logs". http or https. A user
  // and password in it are moved to `headers` and never shown.
  std::string api_endpoint;

  // The `host` of every record. Empty: the machine's host name.
  std::string host;

  // ---- credentials

  // Sent with every request, for example {basic_auth("user", "secret")}.
  Headers headers;

  // Asked for headers before the first request, every auth_ttl, again after a 401 or 403, and by
  // check_connection(). It is called on the thread that calls check_connection(), or one that waits
  // in flush(), close() or a log call with background off, else on the handler's own thread; never
  // on two at once. A call that has begun is waited for, so it needs a timeout of its own. A failed
  // answer counts as a failed attempt of the batch in hand.
  std::function<Result<Headers>()> auth;
  // How long the headers that `auth` has given are used before it is asked again.
  std::chrono::milliseconds auth_ttl{300'000};

  // ---- the connection

  // The total of one request, name lookup and answer included. Must be above zero.
  std::chrono::milliseconds timeout{5'000};

  // Retries after the first try of a batch: 0 means one try. Retry n waits retry_delay * 2^(n-1),
  // at most 30 s (or retry_delay, where that is longer), plus up to half of it by chance; a
  // Retry-After of the server may make it longer, up to 5 minutes. With the defaults a batch
  // outlives an outage of about 7 s.
  int retry_attempts = 3;
  std::chrono::milliseconds retry_delay{1'000};  // before the first retry

  // Whether the server's certificate is verified. Off, anyone on the way can read the records.
  bool verify_ssl = true;
  // PEM file of the certificate authorities that the server may be vouched for by; these alone are
  // trusted. Empty: what SSL_CERT_FILE and SSL_CERT_DIR name, else CURL_CA_BUNDLE, else the
  // system's. The environment is read by Handler::create. A proxy that is spoken to over https is
  // verified as if this were empty.
  std::string ca_file;
  std::string client_cert;  // PEM file shown to the server; empty: none
  std::string client_key;   // PEM file of its key; empty: the key is in client_cert
  std::string proxy;        // URL; empty: as the environment says (https_proxy, no_proxy, ...)

  // ---- batches

  // Records in a request. 0: what the API's health answer takes, else one.
  std::size_t batch_size = 0;
  // Bytes of records in a request, before compression. A single larger record goes alone.
  std::size_t batch_bytes = 1 << 20;
  // How long a record may wait for others to share its request. 0: not at all.
  std::chrono::milliseconds flush_interval{200};
  // Compressing takes the handler's thread time, and the network less.
  Compression compression = Compression::automatic;

  // ---- the spool

  // Directory for records that wait: they survive the process there and are delivered by the next
  // one that uses it. Made with mode 0700 where it is missing; refused where it is a symlink,
  // another user's or open to others' writing. Any number of processes may share it. A batch is
  // then never dropped for want of an answer, but tried again until it is delivered. Empty: none;
  // records wait in memory only.
  std::string spool_dir;
  // Bytes of records kept there by this process, at least 1 MiB. In the place of queue_bytes, which
  // then limits what is kept in memory while the disk takes nothing.
  std::size_t spool_max_bytes = std::size_t{1} << 30;
  // Size of a file of the spool, 64 KiB to 64 MiB, at most an eighth of spool_max_bytes.
  std::size_t segment_bytes = 1 << 20;
  // What records in the spool survive; more costs the handler's thread a sync now and then.
  Durability durability = Durability::process;
  // For Durability::power: how often records are synced to the disk. 0: as often as possible.
  std::chrono::milliseconds sync_interval{1'000};
  // A crash of the process (SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, std::terminate) leaves a last
  // record of level CRITICAL in the spool: the signal, the thread and its stack. Room for it, 64
  // KiB or more, is made there beforehand. What was installed for these signals before is called
  // afterwards; where that returns, it was no crash, if the handler closes in order. At most 64
  // handlers of a process have it. Needs spool_dir.
  bool crash_handler = false;

  // ---- the queue

  // Bytes of records kept in memory, at least 64 KiB. Untouched memory is not allocated. A record
  // is at most half of it, a batch a quarter.
  std::size_t queue_bytes = 64 << 20;
  // What happens to records that find the queue full.
  Overflow overflow = Overflow::drop_newest;
  // For Overflow::block: how long a log call may wait for room.
  std::chrono::milliseconds block_timeout{1'000};
  // A longer record is cut and marked: its fields, where they take up more than half of it, then
  // its message, exception and stack. At least 1 KiB.
  std::size_t max_record_bytes = 1 << 20;

  // Off: a log call returns after the server's verdict on its record, at most the time that all
  // retries take; with a spool the record then stays there. For command-line tools and tests.
  bool background = true;

  // How long close(), and flush() without a timeout, may wait.
  std::chrono::milliseconds close_timeout{5'000};

  // ---- contents

  // `logger_name` of records that name none. Empty: the program's name.
  std::string logger;

  // Written into every record at top level, for example static_field("service", "shop"). A name of
  // the record's own fields is refused, an empty one and one that comes twice as well.
  std::vector<StaticField> fields;

  // Receives each error report, one line without its end, at most one for each cause in 30 s. It
  // is called as `auth` is. Empty: the line is written to standard error.
  std::function<void(std::string_view line)> report;
};

}  // namespace log_aggregator
