#include "src/handler/options.h"

#include <curl/curl.h>
#include <simdjson.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <set>
#include <string>

#include "src/base/base64.h"
#include "src/base/files.h"
#include "src/handler/record_writer.h"

namespace log_aggregator {
namespace {

using std::chrono::milliseconds;

constexpr std::size_t kMinQueueBytes = 64 << 10;
constexpr std::size_t kMinRecordBytes = 1 << 10;
constexpr std::size_t kMinSpoolBytes = 1 << 20;
constexpr std::size_t kMinSegmentBytes = 64 << 10;
constexpr std::size_t kMaxSegmentBytes = 64 << 20;
constexpr std::size_t kPageBytes = 64 << 10;  // a multiple of any system's
constexpr std::size_t kSegmentsInSpool = 8;
constexpr milliseconds kLongestTime = std::chrono::hours(24 * 20);

// Names that RecordWriter's users write, or the API adds.
constexpr std::string_view kRecordFields[] = {
    "timestamp",   "level",    "message",    "host",     "host_process", "logger_name",
    "module",      "filename", "funcName",   "lineno",   "pathname",     "process",
    "processName", "thread",   "threadName", "taskName", "exception",    "stack",
    "extra",       "trace_id", "span_id",    "id"};

Status wrong(std::string_view option, std::string_view must) {
  return Status::invalid_argument(std::string(option) + " must " + std::string(must));
}

bool has_line_break_or_nul(std::string_view text) {
  return text.find_first_of(std::string_view("\r\n\0", 3)) != std::string_view::npos;
}

bool is_header_name(std::string_view name) {
  constexpr std::string_view kPunctuation = "!#$%&'*+-.^_`|~";
  return !name.empty() && std::all_of(name.begin(), name.end(), [&](unsigned char c) {
    return std::isalnum(c) != 0 ||
           kPunctuation.find(static_cast<char>(c)) != std::string_view::npos;
  });
}

Status check_numbers(const Options& options) {
  const milliseconds none{0};
  if (options.timeout <= none) return wrong("timeout", "be above 0");
  if (options.auth_ttl <= none) return wrong("auth_ttl", "be above 0");
  if (options.retry_attempts < 0) return wrong("retry_attempts", "not be negative");
  if (options.retry_delay < none) return wrong("retry_delay", "not be negative");
  if (options.flush_interval < none) return wrong("flush_interval", "not be negative");
  if (options.block_timeout < none) return wrong("block_timeout", "not be negative");
  if (options.close_timeout < none) return wrong("close_timeout", "not be negative");
  if (options.batch_bytes == 0) return wrong("batch_bytes", "be above 0");
  if (options.queue_bytes < kMinQueueBytes) return wrong("queue_bytes", "be at least 65536");
  if (options.max_record_bytes < kMinRecordBytes) {
    return wrong("max_record_bytes", "be at least 1024");
  }
  return {};
}

// Without line breaks, which would end the record in NDJSON. Numbers stay as they are written.
void minify(std::string& json) {
  std::string shorter(json.size(), '\0');
  std::size_t size = 0;
  if (simdjson::minify(json.data(), json.size(), shorter.data(), size) != simdjson::SUCCESS) return;
  shorter.resize(size);
  json = std::move(shorter);
}

Status check_fields(const std::vector<StaticField>& fields) {
  simdjson::dom::parser parser;
  std::set<std::string_view> names;
  for (const StaticField& field : fields) {
    if (field.name.empty()) return wrong("fields", "have names; one has none");
    if (!names.insert(field.name).second) {
      return wrong("fields", "have names of their own; \"" + field.name + "\" is there twice");
    }
    if (std::find(std::begin(kRecordFields), std::end(kRecordFields), field.name) !=
        std::end(kRecordFields)) {
      return wrong("fields", "not contain \"" + field.name + "\": records have such a field");
    }
    simdjson::dom::element value;
    if (parser.parse(field.json).get(value) != simdjson::SUCCESS) {
      return wrong("fields", "have JSON values; that of \"" + field.name + "\" is none");
    }
  }
  return {};
}

Status check_files(const Options& options) {
  const std::array<std::pair<std::string_view, const std::string*>, 3> files{
      {{"ca_file", &options.ca_file},
       {"client_cert", &options.client_cert},
       {"client_key", &options.client_key}}};
  for (const auto& [option, path] : files) {
    if (!path->empty() && ::access(path->c_str(), R_OK) != 0) {
      return wrong(option, "name a file that can be read; " + *path + " cannot");
    }
  }
  if (!options.client_key.empty() && options.client_cert.empty()) {
    return wrong("client_key", "come with client_cert");
  }
  return {};
}

// Makes the directory where it is missing, and the numbers fit each other.
Status prepare_spool(Options& options) {
  if (options.spool_dir.empty()) {
    if (options.crash_handler) return wrong("crash_handler", "come with spool_dir");
    return {};
  }
  if (options.sync_interval < milliseconds(0)) return wrong("sync_interval", "not be negative");
  if (options.spool_max_bytes < kMinSpoolBytes) {
    return wrong("spool_max_bytes", "be at least 1048576");
  }
  if (options.segment_bytes < kMinSegmentBytes || options.segment_bytes > kMaxSegmentBytes) {
    return wrong("segment_bytes", "be from 65536 to 67108864");
  }
  options.segment_bytes =
      std::min(options.segment_bytes, options.spool_max_bytes / kSegmentsInSpool);
  options.segment_bytes -= options.segment_bytes % kPageBytes;
  while (options.spool_dir.size() > 1 && options.spool_dir.back() == '/') {
    options.spool_dir.pop_back();
  }
  Files& files = real_files();
  const Status made = files.make_directory(options.spool_dir);
  Status usable = files.check_private_directory(options.spool_dir);
  if (usable.ok()) return usable;
  return Status::invalid_argument("spool_dir: " +
                                  (made.code() == StatusCode::not_found ? made : usable).message());
}

Status check_proxy(const std::string& proxy) {
  if (proxy.empty()) return {};
  const std::unique_ptr<CURLU, decltype(&curl_url_cleanup)> url(curl_url(), &curl_url_cleanup);
  if (url && curl_url_set(url.get(), CURLUPART_URL, proxy.c_str(),
                          CURLU_GUESS_SCHEME | CURLU_NON_SUPPORT_SCHEME) == CURLUE_OK) {
    return {};
  }
  return wrong("proxy", "be a URL such as http://proxy:3128");
}

std::string host_name() {
  char name[256] = "";
  if (::gethostname(name, sizeof name - 1) != 0 || name[0] == '\0') return "localhost";
  return name;
}

}  // namespace

Header basic_auth(std::string_view user, std::string_view password) {
  std::string pair(user);
  pair += ':';
  pair += password;
  return {"Authorization", "Basic " + base64_encode(pair)};
}

Status check_header(const Header& header) {
  if (!is_header_name(header.name)) {
    return Status::invalid_argument("a header's name must consist of letters, digits and dashes");
  }
  if (has_line_break_or_nul(header.value)) {
    return Status::invalid_argument("the value of header " + header.name +
                                    " must not contain line breaks or NUL");
  }
  return {};
}

Result<Endpoint> prepare_options(Options& options) {
  Result<Endpoint> endpoint = parse_endpoint(options.api_endpoint);
  if (!endpoint.ok()) return endpoint;
  for (const Status& status : {check_numbers(options), check_fields(options.fields),
                               check_files(options), check_proxy(options.proxy)}) {
    if (!status.ok()) return status;
  }
  if (options.host.empty()) options.host = host_name();
  if (options.logger.empty()) options.logger = program_invocation_short_name;
  if (has_line_break_or_nul(options.host)) {
    return wrong("host", "not contain line breaks or NUL");
  }
  for (const Header& header : options.headers) {
    if (Status status = check_header(header); !status.ok()) return status;
  }
  if (endpoint->has_credentials) {
    options.headers.push_back(basic_auth(endpoint->user, endpoint->password));
  }
  options.api_endpoint = endpoint->url;

  // Longer times are for ever, and safe to add to any.
  for (milliseconds* time :
       {&options.timeout, &options.auth_ttl, &options.retry_delay, &options.flush_interval,
        &options.block_timeout, &options.close_timeout, &options.sync_interval}) {
    *time = std::min(*time, kLongestTime);
  }

  for (StaticField& field : options.fields) minify(field.json);

  if (Status status = prepare_spool(options); !status.ok()) return status;

  // One record must fit the queue, and a full queue must make more than a full batch: what is under
  // way is never evicted.
  options.max_record_bytes = std::min(options.max_record_bytes, options.queue_bytes / 2);
  if (!options.spool_dir.empty()) {
    options.max_record_bytes = std::min(options.max_record_bytes, options.spool_max_bytes / 4);
    options.batch_bytes = std::min(options.batch_bytes, options.spool_max_bytes / 4);
  }
  options.batch_bytes = std::min(options.batch_bytes, options.queue_bytes / 4);
  if (record_prefix(options.host, options.fields).size() > options.max_record_bytes / 4) {
    return wrong("max_record_bytes", "be at least four times as much as host and fields take");
  }
  return endpoint;
}

}  // namespace log_aggregator
