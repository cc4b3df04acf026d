#include "src/deliver/curl_transport.h"

#include <curl/curl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <new>
#include <string_view>
#include <utility>
#include <vector>

#include "src/base/mutex.h"
#include "src/base/text.h"

namespace log_aggregator {
namespace {

constexpr std::size_t kMaxAnswerBytes = 4 << 20;
constexpr long kUploadBufferBytes = 256 << 10;
constexpr std::chrono::milliseconds kLongestPoll = std::chrono::hours(1);

// CURLMOPT_QUICK_EXIT of curl 8.20, where the threads that look names up belong to the multi handle
// and its end would wait for them. An older curl, to which CURLOPT_QUICK_EXIT says it, refuses it.
constexpr auto kMultiQuickExit = static_cast<CURLMoption>(21);

// The innermost lock: nothing is called under it but libcurl and what that calls back.
constinit Mutex curl_mutex;
constinit bool curl_is_ready GUARDED_BY(curl_mutex) = false;

// Not std::call_once, which a fork could find half done.
void initialise_curl_once() REQUIRES(curl_mutex) {
  if (!curl_is_ready) curl_is_ready = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
}

// The sockets that a transport has open, for a child to close. All such lists hang together, and
// are changed by libcurl's calls only, under its mutex.
class Sockets {
 public:
  Sockets() {
    const MutexLock lock(curl_mutex);
    next_ = first_;
    if (first_ != nullptr) first_->previous_ = this;
    first_ = this;
  }
  ~Sockets() {
    const MutexLock lock(curl_mutex);
    if (first_ == this) first_ = next_;
    if (next_ != nullptr) next_->previous_ = previous_;
    if (previous_ != nullptr) previous_->next_ = next_;
  }
  Sockets(const Sockets&) = delete;
  Sockets& operator=(const Sockets&) = delete;

  static curl_socket_t open(void* sockets, curlsocktype, curl_sockaddr* address) {
    const int socket =
        ::socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
    if (socket < 0) return CURL_SOCKET_BAD;
    try {
      static_cast<Sockets*>(sockets)->open_.push_back(socket);
    } catch (const std::bad_alloc&) {
      ::close(socket);
      return CURL_SOCKET_BAD;
    }
    return socket;
  }

  static int close(void* sockets, curl_socket_t socket) {
    std::erase(static_cast<Sockets*>(sockets)->open_, socket);
    return ::close(socket);
  }

  // Leaves the lists to those whose they were.
  static void close_all_in_child() REQUIRES(curl_mutex) {
    for (const Sockets* sockets = first_; sockets != nullptr; sockets = sockets->next_) {
      for (const curl_socket_t socket : sockets->open_) ::close(socket);
    }
    first_ = nullptr;
  }

 private:
  static constinit Sockets* first_ GUARDED_BY(curl_mutex);

  std::vector<curl_socket_t> open_;
  Sockets* previous_ = nullptr;
  Sockets* next_ = nullptr;
};

constinit Sockets* Sockets::first_ = nullptr;

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

// What the header lines of an answer tell.
struct AnswerHead {
  std::string retry_after;
  bool complete = false;
};

std::size_t keep_head(char* data, std::size_t, std::size_t size, void* user) {
  auto& head = *static_cast<AnswerHead*>(user);
  const std::string_view line(data, size);
  if (line.starts_with("HTTP/")) head.complete = false;  // one behind a 100 Continue
  if (trim_blanks(line).empty()) head.complete = true;
  const std::size_t colon = line.find(':');
  if (colon != std::string_view::npos &&
      equal_ignoring_case(line.substr(0, colon), "Retry-After")) {
    head.retry_after = trim_blanks(line.substr(colon + 1));
  }
  return size;
}

class CurlTransport final : public Transport {
 public:
  explicit CurlTransport(const Options& options) : options_(options) {}

  ~CurlTransport() override {
    cancel();
    const MutexLock lock(curl_mutex);
    headers_.reset();
    easy_.reset();
    multi_.reset();
  }

  void submit(Request request) override {
    const MutexLock lock(curl_mutex);
    request_ = std::move(request);
    response_ = {};
    head_ = {};
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
    {
      const MutexLock lock(curl_mutex);
      if (!open()) return std::nullopt;
      if (auto response = take_answer()) return response;
    }
    const int wait = woken_.exchange(false) ? 0 : milliseconds_until(until);
    curl_multi_poll(multi_.get(), nullptr, 0, wait, nullptr);
    const MutexLock lock(curl_mutex);
    return take_answer();
  }

  void cancel() override {
    const MutexLock lock(curl_mutex);
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
  bool open() REQUIRES(curl_mutex) {
    if (usable()) return true;
    initialise_curl_once();
    multi_.reset(curl_multi_init());
    easy_.reset(curl_easy_init());
    if (!usable()) return false;
    curl_multi_setopt(multi_.get(), kMultiQuickExit, 1L);
    configure();
    wakeable_.store(multi_.get());
    return true;
  }

  void configure() REQUIRES(curl_mutex) {
    set(CURLOPT_NOSIGNAL, 1L);
    set(CURLOPT_QUICK_EXIT, 1L);
    set(CURLOPT_FOLLOWLOCATION, 0L);
    set(CURLOPT_PROTOCOLS_STR, "http,https");
    set(CURLOPT_TCP_NODELAY, 1L);
    set(CURLOPT_UPLOAD_BUFFERSIZE, kUploadBufferBytes);
    set(CURLOPT_USERAGENT, "log-aggregator-handler/" LOG_AGGREGATOR_VERSION);
    set(CURLOPT_OPENSOCKETFUNCTION, &Sockets::open);
    set(CURLOPT_OPENSOCKETDATA, static_cast<void*>(&sockets_));
    set(CURLOPT_CLOSESOCKETFUNCTION, &Sockets::close);
    set(CURLOPT_CLOSESOCKETDATA, static_cast<void*>(&sockets_));
    set(CURLOPT_ERRORBUFFER, error_);
    set(CURLOPT_WRITEFUNCTION, &keep_body);
    set(CURLOPT_WRITEDATA, static_cast<void*>(&response_));
    set(CURLOPT_HEADERFUNCTION, &keep_head);
    set(CURLOPT_HEADERDATA, static_cast<void*>(&head_));
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

  bool prepare() REQUIRES(curl_mutex) {
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

  std::optional<Response> take_answer() REQUIRES(curl_mutex) {
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
    // libcurl takes a head that was cut off for a whole one.
    if (!head_.complete) return finish_failed("the answer ended within its headers");
    long status = 0;
    long connects = 0;
    curl_easy_getinfo(easy_.get(), CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(easy_.get(), CURLINFO_NUM_CONNECTS, &connects);
    response_.status = static_cast<int>(status);
    response_.retry_after = std::move(head_.retry_after);
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
  Sockets sockets_;
  std::unique_ptr<CURLM, FreeMulti> multi_;
  std::unique_ptr<CURL, FreeEasy> easy_;
  std::unique_ptr<curl_slist, FreeList> headers_;
  Request request_;
  Response response_;
  AnswerHead head_;
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

void lock_curl_for_fork() NO_THREAD_SAFETY_ANALYSIS { curl_mutex.lock(); }

void unlock_curl_after_fork() NO_THREAD_SAFETY_ANALYSIS { curl_mutex.unlock(); }

void close_curl_sockets_in_child() NO_THREAD_SAFETY_ANALYSIS { Sockets::close_all_in_child(); }

}  // namespace log_aggregator
