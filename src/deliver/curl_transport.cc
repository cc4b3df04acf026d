#include "src/deliver/curl_transport.h"

#include <curl/curl.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdio>
#include <new>
#include <string_view>
#include <utility>
#include <vector>

#include "src/base/mutex.h"
#include "src/base/not_cancelled.h"
#include "src/base/text.h"

namespace log_aggregator {
namespace {

constexpr std::size_t kMaxAnswerBytes = 4 << 20;
// A body of the usual length in few steps: over loopback, from 64 KiB to 1 MiB, each step costs,
// and no more is gained from here on.
constexpr long kUploadBufferBytes = 512 << 10;
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

// A request, from its submission to its answer, and the handle that is used for it. A handle serves
// one request after the other; connections are shared by all.
struct Transfer {
  std::unique_ptr<CURL, FreeEasy> easy;
  std::unique_ptr<curl_slist, FreeList> headers;
  Request request;
  Response response;
  std::string retry_after;
  bool head_complete = false;
  char error[CURL_ERROR_SIZE] = "";
  bool under_way = false;
  const char* failed = nullptr;  // why it could not even start

  template <typename T>
  void set(CURLoption option, T value) {
    curl_easy_setopt(easy.get(), option, value);
  }
};

// ---- libcurl's callbacks

std::size_t write_body(char* into, std::size_t, std::size_t most, void* transfer) {
  return static_cast<Transfer*>(transfer)->request.body->read(into, most);
}

// To the beginning, where a kept connection turns out to be dead and another one is tried.
int seek_body(void* transfer, curl_off_t offset, int origin) {
  if (offset != 0 || origin != SEEK_SET) return CURL_SEEKFUNC_CANTSEEK;
  static_cast<Transfer*>(transfer)->request.body->rewind();
  return CURL_SEEKFUNC_OK;
}

std::size_t keep_body(char* data, std::size_t, std::size_t size, void* transfer) {
  Response& response = static_cast<Transfer*>(transfer)->response;
  response.body.append(data, std::min(size, kMaxAnswerBytes - response.body.size()));
  return size;
}

std::size_t keep_head(char* data, std::size_t, std::size_t size, void* user) {
  auto& transfer = *static_cast<Transfer*>(user);
  const std::string_view line(data, size);
  if (line.starts_with("HTTP/")) transfer.head_complete = false;  // one behind a 100 Continue
  if (trim_blanks(line).empty()) transfer.head_complete = true;
  const std::size_t colon = line.find(':');
  if (colon != std::string_view::npos &&
      equal_ignoring_case(line.substr(0, colon), "Retry-After")) {
    transfer.retry_after = trim_blanks(line.substr(colon + 1));
  }
  return size;
}

// The least that the system has measured on the connection lately: the others have acknowledgements
// in them that were delayed on purpose.
std::chrono::microseconds round_trip_of(CURL* easy) {
  curl_socket_t socket = CURL_SOCKET_BAD;
  tcp_info info{};
  socklen_t bytes = sizeof info;
  const bool known = curl_easy_getinfo(easy, CURLINFO_ACTIVESOCKET, &socket) == CURLE_OK &&
                     socket != CURL_SOCKET_BAD &&
                     ::getsockopt(socket, IPPROTO_TCP, TCP_INFO, &info, &bytes) == 0 &&
                     bytes >= offsetof(tcp_info, tcpi_min_rtt) + sizeof info.tcpi_min_rtt;
  return std::chrono::microseconds(known ? info.tcpi_min_rtt : 0);
}

class CurlTransport final : public Transport {
 public:
  CurlTransport(const Options& options, const TrustStore& trust)
      : options_(options), trust_(trust) {}

  ~CurlTransport() override {
    cancel();
    const MutexLock lock(curl_mutex);
    transfers_.clear();
    multi_.reset();
  }

  std::uint64_t submit(Request request) override {
    const MutexLock lock(curl_mutex);
    Transfer& transfer = free_transfer();
    transfer.request = std::move(request);
    transfer.response = {};
    transfer.response.request = ++last_request_;
    transfer.retry_after.clear();
    transfer.head_complete = false;
    transfer.error[0] = '\0';
    const bool ready = open() && open(transfer) && prepare(transfer);
    transfer.under_way = true;
    if (!ready) {
      transfer.failed = "out of memory";
    } else if (const CURLMcode code = curl_multi_add_handle(multi_.get(), transfer.easy.get());
               code != CURLM_OK) {
      transfer.failed = curl_multi_strerror(code);
    }
    return last_request_;
  }

  std::optional<Response> poll(Clock::TimePoint until) override {
    {
      const MutexLock lock(curl_mutex);
      for (const auto& transfer : transfers_) {
        if (transfer->under_way && transfer->failed != nullptr) {
          return finish_failed(*transfer, std::exchange(transfer->failed, nullptr));
        }
      }
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
    for (const auto& transfer : transfers_) {
      if (transfer->under_way && multi_ != nullptr && transfer->easy != nullptr) {
        curl_multi_remove_handle(multi_.get(), transfer->easy.get());
      }
      transfer->under_way = false;
      transfer->failed = nullptr;
    }
  }

  // The flag serves where poll has not opened the multi handle yet: either this thread sees the
  // handle or poll sees the flag (both are sequentially consistent).
  void wake() noexcept override {
    const NotCancelled guard;
    woken_.store(true);
    if (CURLM* multi = wakeable_.load()) curl_multi_wakeup(multi);
  }

 private:
  // At first use, by the worker: an idle handler holds no descriptor, and the application's thread
  // does not pay for the TLS library's start.
  bool open() REQUIRES(curl_mutex) {
    if (multi_ != nullptr) return true;
    initialise_curl_once();
    multi_.reset(curl_multi_init());
    if (multi_ == nullptr) return false;
    curl_multi_setopt(multi_.get(), kMultiQuickExit, 1L);
    wakeable_.store(multi_.get());
    return true;
  }

  // One that waits for nothing; they are kept, since each has a buffer for its bodies.
  Transfer& free_transfer() REQUIRES(curl_mutex) {
    for (const auto& transfer : transfers_) {
      if (!transfer->under_way) return *transfer;
    }
    return *transfers_.emplace_back(std::make_unique<Transfer>());
  }

  bool open(Transfer& transfer) REQUIRES(curl_mutex) {
    if (transfer.easy != nullptr) return true;
    transfer.easy.reset(curl_easy_init());
    if (transfer.easy == nullptr) return false;
    void* const user = &transfer;
    transfer.set(CURLOPT_PRIVATE, user);
    transfer.set(CURLOPT_NOSIGNAL, 1L);
    transfer.set(CURLOPT_QUICK_EXIT, 1L);
    transfer.set(CURLOPT_FOLLOWLOCATION, 0L);
    transfer.set(CURLOPT_PROTOCOLS_STR, "http,https");
    transfer.set(CURLOPT_TCP_NODELAY, 1L);
    transfer.set(CURLOPT_UPLOAD_BUFFERSIZE, kUploadBufferBytes);
    transfer.set(CURLOPT_USERAGENT, "log-aggregator-handler/" LOG_AGGREGATOR_VERSION);
    transfer.set(CURLOPT_OPENSOCKETFUNCTION, &Sockets::open);
    transfer.set(CURLOPT_OPENSOCKETDATA, static_cast<void*>(&sockets_));
    transfer.set(CURLOPT_CLOSESOCKETFUNCTION, &Sockets::close);
    transfer.set(CURLOPT_CLOSESOCKETDATA, static_cast<void*>(&sockets_));
    transfer.set(CURLOPT_ERRORBUFFER, transfer.error);
    transfer.set(CURLOPT_READFUNCTION, &write_body);
    transfer.set(CURLOPT_READDATA, user);
    transfer.set(CURLOPT_SEEKFUNCTION, &seek_body);
    transfer.set(CURLOPT_SEEKDATA, user);
    transfer.set(CURLOPT_WRITEFUNCTION, &keep_body);
    transfer.set(CURLOPT_WRITEDATA, user);
    transfer.set(CURLOPT_HEADERFUNCTION, &keep_head);
    transfer.set(CURLOPT_HEADERDATA, user);
    transfer.set(CURLOPT_SSL_VERIFYPEER, options_.verify_ssl ? 1L : 0L);
    transfer.set(CURLOPT_SSL_VERIFYHOST, options_.verify_ssl ? 2L : 0L);
    // Else libcurl goes by what the file held up to a day ago. Connections are kept; reading it
    // costs the few that are new some milliseconds.
    transfer.set(CURLOPT_CA_CACHE_TIMEOUT, 0L);
    if (!options_.client_cert.empty()) transfer.set(CURLOPT_SSLCERT, options_.client_cert.c_str());
    if (!options_.client_key.empty()) transfer.set(CURLOPT_SSLKEY, options_.client_key.c_str());
    if (!options_.proxy.empty()) transfer.set(CURLOPT_PROXY, options_.proxy.c_str());
    if (!trust_.apply(transfer.easy.get(), options_.ca_file)) transfer.easy.reset();
    return transfer.easy != nullptr;
  }

  bool prepare(Transfer& transfer) REQUIRES(curl_mutex) {
    const Request& request = transfer.request;
    transfer.headers.reset();
    if (!add_header(transfer, "Expect:")) return false;
    for (const Header& header : request.headers) {
      // "Name;" is how libcurl is told of a header without a value.
      const bool empty = header.value.empty();
      if (!add_header(transfer, header.name + (empty ? ";" : ": " + header.value))) return false;
    }
    transfer.set(CURLOPT_URL, request.url.c_str());
    transfer.set(CURLOPT_HTTPHEADER, transfer.headers.get());
    transfer.set(CURLOPT_TIMEOUT_MS, static_cast<long>(request.timeout.count()));
    if (request.method == Request::Method::get) {
      transfer.set(CURLOPT_HTTPGET, 1L);
    } else {
      transfer.set(CURLOPT_POST, 1L);
      transfer.set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.body->size()));
    }
    return true;
  }

  static bool add_header(Transfer& transfer, const std::string& line) {
    curl_slist* longer = curl_slist_append(transfer.headers.get(), line.c_str());
    if (longer == nullptr) return false;
    static_cast<void>(transfer.headers.release());
    transfer.headers.reset(longer);
    return true;
  }

  std::optional<Response> take_answer() REQUIRES(curl_mutex) {
    int running = 0;
    curl_multi_perform(multi_.get(), &running);
    int queued = 0;
    const CURLMsg* message = curl_multi_info_read(multi_.get(), &queued);
    if (message == nullptr || message->msg != CURLMSG_DONE) return std::nullopt;
    const CURLcode result = message->data.result;
    CURL* const easy = message->easy_handle;
    char* user = nullptr;
    curl_easy_getinfo(easy, CURLINFO_PRIVATE, &user);
    auto& transfer = *reinterpret_cast<Transfer*>(user);
    transfer.response.round_trip = round_trip_of(easy);  // while it has its connection
    curl_multi_remove_handle(multi_.get(), easy);
    return finish(transfer, result);
  }

  Response finish(Transfer& transfer, CURLcode result) REQUIRES(curl_mutex) {
    if (result != CURLE_OK) return finish_failed(transfer, why(transfer, result));
    // libcurl takes a head that was cut off for a whole one.
    if (!transfer.head_complete) {
      return finish_failed(transfer, "the answer ended within its headers");
    }
    long status = 0;
    long connects = 0;
    curl_easy_getinfo(transfer.easy.get(), CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(transfer.easy.get(), CURLINFO_NUM_CONNECTS, &connects);
    transfer.response.status = static_cast<int>(status);
    transfer.response.retry_after = std::move(transfer.retry_after);
    transfer.response.new_connection = connects > 0;
    transfer.under_way = false;
    return std::move(transfer.response);
  }

  // Whatever came of an answer, it is not to be relied on.
  static Response finish_failed(Transfer& transfer, std::string error) {
    transfer.under_way = false;
    Response failure;
    failure.request = transfer.response.request;
    failure.error = std::move(error);
    return failure;
  }

  // Where the server could not be verified, the next try makes a new handle, which looks for
  // authorities afresh: they may have been installed meanwhile.
  std::string why(Transfer& transfer, CURLcode result) REQUIRES(curl_mutex) {
    const bool in_words = transfer.error[0] != '\0';
    std::string words = in_words ? transfer.error : curl_easy_strerror(result);
    if (!options_.ca_file.empty() || !TrustStore::concerns(result)) return words;
    transfer.easy.reset();
    return trust_.explain(result, std::move(words));
  }

  static int milliseconds_until(Clock::TimePoint until) {
    const auto now = real_clock().now();
    if (until <= now) return 0;
    const auto left = std::min<Clock::TimePoint::duration>(until - now, kLongestPoll);
    return static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(left).count());
  }

  const Options& options_;
  const TrustStore trust_;
  Sockets sockets_;
  std::unique_ptr<CURLM, FreeMulti> multi_;
  std::vector<std::unique_ptr<Transfer>> transfers_;
  std::uint64_t last_request_ = 0;

  // Shared with wake().
  std::atomic<bool> woken_{false};
  std::atomic<CURLM*> wakeable_{nullptr};
};

}  // namespace

std::unique_ptr<Transport> make_curl_transport(const Options& options, const TrustStore& trust) {
  return std::make_unique<CurlTransport>(options, trust);
}

void lock_curl_for_fork() NO_THREAD_SAFETY_ANALYSIS { curl_mutex.lock(); }

void unlock_curl_after_fork() NO_THREAD_SAFETY_ANALYSIS { curl_mutex.unlock(); }

void close_curl_sockets_in_child() NO_THREAD_SAFETY_ANALYSIS { Sockets::close_all_in_child(); }

}  // namespace log_aggregator
