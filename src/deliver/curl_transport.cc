#include "src/deliver/curl_transport.h"

#include <curl/curl.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <string_view>
#include <utility>

#include "src/base/text.h"

namespace log_aggregator {
namespace {

constexpr std::size_t kMaxAnswerBytes = 4 << 20;
constexpr long kUploadBufferBytes = 256 << 10;
constexpr std::chrono::milliseconds kLongestPoll = std::chrono::hours(1);

void initialise_curl_once() {
  static std::once_flag once;
  std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
}

struct FreeEasy {
  void operator()(CURL* handle) const { curl_easy_cleanup(handle); }
};
struct FreeMulti {
  void operator()(CURLM* handle) const { curl_multi_cleanup(handle); }
};
struct FreeList {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};

std::size_t keep_body(char* data, std::size_t, std::size_t size, void* user) {
  auto& response = *static_cast<Response*>(user);
  response.body.append(data, std::min(size, kMaxAnswerBytes - response.body.size()));
  return size;
}

std::size_t keep_retry_after(char* data, std::size_t, std::size_t size, void* user) {
  const std::string_view line(data, size);
  const std::size_t colon = line.find(':');
  if (colon != std::string_view::npos &&
      equal_ignoring_case(line.substr(0, colon), "Retry-After")) {
    static_cast<Response*>(user)->retry_after = trim_blanks(line.substr(colon + 1));
  }
  return size;
}

class CurlTransport final : public Transport {
 public:
  explicit CurlTransport(const Options& options) : options_(options) {}

  ~CurlTransport() override { cancel(); }

  void submit(Request request) override {
    request_ = std::move(request);
    response_ = {};
    error_[0] = '\0';
    under_way_ = true;
    if (!open() || !prepare()) {
      failed_ = "out of memory";
      return;
    }
    const CURLMcode code = curl_multi_add_handle(multi_.get(), easy_.get());
    if (code != CURLM_OK) failed_ = curl_multi_strerror(code);
  }

  std::optional<Response> poll(Clock::TimePoint until) override {
    if (under_way_ && failed_ != nullptr) return finish_failed(std::exchange(failed_, nullptr));
    if (!open()) return std::nullopt;
    if (auto response = take_answer()) return response;
    const int wait = woken_.exchange(false) ? 0 : milliseconds_until(until);
    curl_multi_poll(multi_.get(), nullptr, 0, wait, nullptr);
    return take_answer();
  }

  void cancel() override {
    if (under_way_ && usable()) curl_multi_remove_handle(multi_.get(), easy_.get());
    under_way_ = false;
    failed_ = nullptr;
  }

  // The flag serves where poll has not opened the multi handle yet: either this thread sees the
  // handle or poll sees the flag (both are sequentially consistent).
  void wake() noexcept override {
    woken_.store(true);
    if (CURLM* multi = wakeable_.load()) curl_multi_wakeup(multi);
  }

 private:
  bool usable() const { return multi_ != nullptr && easy_ != nullptr; }

  // At first use, by the worker: an idle handler holds no descriptor, and the application's thread
  // does not pay for the TLS library's start.
  bool open() {
    if (usable()) return true;
    initialise_curl_once();
    multi_.reset(curl_multi_init());
    easy_.reset(curl_easy_init());
    if (!usable()) return false;
    configure();
    wakeable_.store(multi_.get());
    return true;
  }

  void configure() {
    set(CURLOPT_NOSIGNAL, 1L);
    set(CURLOPT_QUICK_EXIT, 1L);
    set(CURLOPT_FOLLOWLOCATION, 0L);
    set(CURLOPT_PROTOCOLS_STR, "http,https");
    set(CURLOPT_TCP_NODELAY, 1L);
    set(CURLOPT_UPLOAD_BUFFERSIZE, kUploadBufferBytes);
    set(CURLOPT_USERAGENT, "log-aggregator-handler/" LOG_AGGREGATOR_VERSION);
    set(CURLOPT_ERRORBUFFER, error_);
    set(CURLOPT_WRITEFUNCTION, &keep_body);
    set(CURLOPT_WRITEDATA, static_cast<void*>(&response_));
    set(CURLOPT_HEADERFUNCTION, &keep_retry_after);
    set(CURLOPT_HEADERDATA, static_cast<void*>(&response_));
    set(CURLOPT_SSL_VERIFYPEER, options_.verify_ssl ? 1L : 0L);
    set(CURLOPT_SSL_VERIFYHOST, options_.verify_ssl ? 2L : 0L);
    if (!options_.ca_file.empty()) set(CURLOPT_CAINFO, options_.ca_file.c_str());
    if (!options_.client_cert.empty()) set(CURLOPT_SSLCERT, options_.client_cert.c_str());
    if (!options_.client_key.empty()) set(CURLOPT_SSLKEY, options_.client_key.c_str());
    if (!options_.proxy.empty()) set(CURLOPT_PROXY, options_.proxy.c_str());
  }

  template <typename T>
  void set(CURLoption option, T value) {
    curl_easy_setopt(easy_.get(), option, value);
  }

  bool prepare() {
    headers_.reset();
    if (!add_header("Expect:")) return false;
    for (const Header& header : request_.headers) {
      // "Name;" is how libcurl is told of a header without a value.
      const bool empty = header.value.empty();
      if (!add_header(header.name + (empty ? ";" : ": " + header.value))) return false;
    }
    set(CURLOPT_URL, request_.url.c_str());
    set(CURLOPT_HTTPHEADER, headers_.get());
    set(CURLOPT_TIMEOUT_MS, static_cast<long>(request_.timeout.count()));
    if (request_.method == Request::Method::get) {
      set(CURLOPT_HTTPGET, 1L);
    } else {
      set(CURLOPT_POST, 1L);
      set(CURLOPT_POSTFIELDS, request_.body.data());
      set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request_.body.size()));
    }
    return true;
  }

  bool add_header(const std::string& line) {
    curl_slist* longer = curl_slist_append(headers_.get(), line.c_str());
    if (longer == nullptr) return false;
    static_cast<void>(headers_.release());
    headers_.reset(longer);
    return true;
  }

  std::optional<Response> take_answer() {
    int running = 0;
    curl_multi_perform(multi_.get(), &running);
    int queued = 0;
    const CURLMsg* message = curl_multi_info_read(multi_.get(), &queued);
    if (message == nullptr || message->msg != CURLMSG_DONE) return std::nullopt;
    const CURLcode result = message->data.result;
    curl_multi_remove_handle(multi_.get(), easy_.get());
    if (result != CURLE_OK) {
      return finish_failed(error_[0] != '\0' ? error_ : curl_easy_strerror(result));
    }
    long status = 0;
    long connects = 0;
    curl_easy_getinfo(easy_.get(), CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(easy_.get(), CURLINFO_NUM_CONNECTS, &connects);
    response_.status = static_cast<int>(status);
    response_.new_connection = connects > 0;
    under_way_ = false;
    return std::move(response_);
  }

  // Whatever came of an answer, it is not to be relied on.
  Response finish_failed(const char* error) {
    under_way_ = false;
    Response failure;
    failure.error = error;
    return failure;
  }

  static int milliseconds_until(Clock::TimePoint until) {
    const auto now = real_clock().now();
    if (until <= now) return 0;
    const auto left = std::min<Clock::TimePoint::duration>(until - now, kLongestPoll);
    return static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(left).count());
  }

  const Options& options_;
  std::unique_ptr<CURLM, FreeMulti> multi_;
  std::unique_ptr<CURL, FreeEasy> easy_;
  std::unique_ptr<curl_slist, FreeList> headers_;
  Request request_;
  Response response_;
  char error_[CURL_ERROR_SIZE] = "";
  bool under_way_ = false;
  const char* failed_ = nullptr;  // why the request under way could not even start

  // Shared with wake().
  std::atomic<bool> woken_{false};
  std::atomic<CURLM*> wakeable_{nullptr};
};

}  // namespace

std::unique_ptr<Transport> make_curl_transport(const Options& options) {
  return std::make_unique<CurlTransport>(options);
}

}  // namespace log_aggregator
