#include "cli/client.h"

#include <curl/curl.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <utility>

#include "src/base/trust_store.h"
#include "src/base/url.h"

namespace log_aggregator::cli {

namespace {

constexpr long kConnectTimeoutMs = 5'000;
constexpr long kTimeoutMs = 30'000;
// A collector sends something every 15 s.
constexpr long kSilenceSeconds = 45;
constexpr std::size_t kMaxAnswerBytes = 256 << 20;
constexpr std::size_t kShownBytes = 200;

struct FreeCurl {
  void operator()(CURL* curl) const { curl_easy_cleanup(curl); }
};
struct FreeHeaders {
  void operator()(curl_slist* headers) const { curl_slist_free_all(headers); }
};

// libcurl stops where this takes less than it was given.
std::size_t append_body(char* data, std::size_t /*one*/, std::size_t size, void* body) {
  auto& text = *static_cast<std::string*>(body);
  if (text.size() + size > kMaxAnswerBytes) return 0;
  text.append(data, size);
  return size;
}

// What the bytes of a stream go to; an answer that is refused goes to its body.
struct StreamSink {
  CURL* curl = nullptr;
  const Client::OnBytes* on_bytes = nullptr;
  ClientAnswer answer;
  bool ended = false;  // by on_bytes
};

std::size_t take_bytes(char* data, std::size_t one, std::size_t size, void* to) {
  auto& sink = *static_cast<StreamSink*>(to);
  curl_easy_getinfo(sink.curl, CURLINFO_RESPONSE_CODE, &sink.answer.status);
  if (sink.answer.status / 100 != 2) return append_body(data, one, size, &sink.answer.body);
  sink.ended = !(*sink.on_bytes)({data, size});
  return sink.ended ? 0 : size;
}

}  // namespace

Result<std::string> read_token(const std::string& path) {
  std::ifstream file(path);
  if (!file) {
    return Status::invalid_argument("cannot read the token file " + path + ": " +
                                    std::strerror(errno));
  }
  std::string line;
  while (std::getline(file, line)) {
    const auto first = line.find_first_not_of(" \t\r");
    if (first == std::string::npos) continue;
    const std::string token = line.substr(first, line.find_last_not_of(" \t\r") - first + 1);
    for (const char c : token) {
      const auto byte = static_cast<unsigned char>(c);
      if (byte < 0x20 || byte == 0x7f) {
        return Status::invalid_argument("the token in " + path + " holds control characters");
      }
    }
    return token;
  }
  return Status::invalid_argument("the token file " + path + " holds no token");
}

void ClientOptions::add_to(CLI::App& command) {
  command
      .add_option("--endpoint", endpoint,
                  "URL that records are posted to, for example http://127.0.0.1:8080/api/logs")
      ->envname("LOG_AGGREGATOR_API_ENDPOINT")
      ->required()
      ->type_name("URL");
  command.add_option("--token-file", token_file, "File whose first line is the token to show")
      ->type_name("FILE");
  command
      .add_option("--ca-file", ca_file,
                  "PEM file of the certificate authorities to trust (default: as SSL_CERT_FILE, "
                  "SSL_CERT_DIR or CURL_CA_BUNDLE say, else the system's)")
      ->type_name("FILE");
}

struct Client::Impl {
  Result<ClientAnswer> stream(const std::string& url, const OnBytes& on_bytes);

  Endpoint endpoint;
  const TrustStore trust;
  std::string ca_file;  // in the place of it
  std::unique_ptr<CURL, FreeCurl> curl;
  std::unique_ptr<curl_slist, FreeHeaders> headers;
  char error[CURL_ERROR_SIZE] = "";

  // In words, with the system's reason where a connection was refused, and what is trusted where a
  // server was not.
  std::string failure(CURLcode code) const {
    std::string text = error[0] != '\0' ? error : curl_easy_strerror(code);
    if (ca_file.empty()) text = trust.explain(code, std::move(text));
    long number = 0;
    curl_easy_getinfo(curl.get(), CURLINFO_OS_ERRNO, &number);
    if (code == CURLE_COULDNT_CONNECT && number != 0) {
      text += std::string(" (") + std::strerror(static_cast<int>(number)) + ")";
    }
    return text;
  }
};

Client::Client(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Client::Client(Client&&) noexcept = default;
Client::~Client() = default;

const std::string& Client::endpoint() const { return impl_->endpoint.url; }
const std::string& Client::health_url() const { return impl_->endpoint.health_url; }

Result<Client> Client::create(const ClientOptions& options) {
  auto endpoint = parse_endpoint(options.endpoint);
  if (!endpoint.ok()) return endpoint.status();
  auto impl = std::make_unique<Impl>();
  impl->endpoint = std::move(endpoint).value();
  impl->ca_file = options.ca_file;
  curl_global_init(CURL_GLOBAL_DEFAULT);
  impl->curl.reset(curl_easy_init());
  CURL* curl = impl->curl.get();
  if (curl == nullptr || !impl->trust.apply(curl, impl->ca_file)) {
    return Status(StatusCode::out_of_memory, "out of memory");
  }
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, kConnectTimeoutMs);
  curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, kTimeoutMs);
  curl_easy_setopt(curl, CURLOPT_USERAGENT, "log-aggregator/" LOG_AGGREGATOR_VERSION);
  curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, impl->error);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, append_body);
  if (!options.token_file.empty()) {
    const auto token = read_token(options.token_file);
    if (!token.ok()) return token.status();
    const std::string header = "Authorization: Bearer " + token.value();
    impl->headers.reset(curl_slist_append(nullptr, header.c_str()));
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, impl->headers.get());
  } else if (impl->endpoint.has_credentials) {
    curl_easy_setopt(curl, CURLOPT_USERNAME, impl->endpoint.user.c_str());
    curl_easy_setopt(curl, CURLOPT_PASSWORD, impl->endpoint.password.c_str());
  }
  return Client(std::move(impl));
}

Result<ClientAnswer> Client::get(const std::string& url) {
  CURL* curl = impl_->curl.get();
  ClientAnswer answer;
  curl_easy_setopt(curl, CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &answer.body);
  impl_->error[0] = '\0';
  const CURLcode code = curl_easy_perform(curl);
  if (code != CURLE_OK) {
    return Status::unavailable("cannot reach " + url + ": " + impl_->failure(code));
  }
  curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &answer.status);
  curl_off_t total_us = 0;
  curl_easy_getinfo(curl, CURLINFO_TOTAL_TIME_T, &total_us);
  answer.duration = std::chrono::milliseconds(total_us / 1000);
  return answer;
}

std::string Client::url_of(std::string_view segment, std::string_view parameters) const {
  const std::string& endpoint = impl_->endpoint.url;
  const auto question = std::min(endpoint.find('?'), endpoint.size());
  std::string url = endpoint.substr(0, question);
  if (!segment.empty()) {
    while (url.ends_with('/')) url.pop_back();
    url += '/';
    url += segment;
  }
  url += endpoint.substr(question);
  if (!parameters.empty()) {
    url += question < endpoint.size() ? '&' : '?';
    url += parameters;
  }
  return url;
}

Result<ClientAnswer> Client::stream(const std::string& url, const std::string& last_event_id,
                                    const OnBytes& on_bytes) {
  CURL* curl = impl_->curl.get();
  std::unique_ptr<curl_slist, FreeHeaders> headers;
  for (const curl_slist* each = impl_->headers.get(); each != nullptr; each = each->next) {
    headers.reset(curl_slist_append(headers.release(), each->data));
  }
  if (!last_event_id.empty()) {
    headers.reset(
        curl_slist_append(headers.release(), ("Last-Event-ID: " + last_event_id).c_str()));
  }
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers.get());
  curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, 0L);
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, kSilenceSeconds);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_bytes);
  auto answer = impl_->stream(url, on_bytes);
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, impl_->headers.get());
  curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, kTimeoutMs);
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, 0L);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, append_body);
  return answer;
}

Result<ClientAnswer> Client::Impl::stream(const std::string& url, const OnBytes& on_bytes) {
  StreamSink sink;
  sink.curl = curl.get();
  sink.on_bytes = &on_bytes;
  curl_easy_setopt(curl.get(), CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl.get(), CURLOPT_WRITEDATA, &sink);
  error[0] = '\0';
  const CURLcode code = curl_easy_perform(curl.get());
  if (code != CURLE_OK && !sink.ended) {
    return Status::unavailable("cannot reach " + url + ": " + failure(code));
  }
  curl_easy_getinfo(curl.get(), CURLINFO_RESPONSE_CODE, &sink.answer.status);
  return std::move(sink.answer);
}

std::string Client::encode(std::string_view text) {
  char* encoded = curl_easy_escape(impl_->curl.get(), text.data(), static_cast<int>(text.size()));
  std::string out = encoded != nullptr ? encoded : "";
  curl_free(encoded);
  return out;
}

Status add_credentials(const ClientOptions& client, Options& options) {
  options.api_endpoint = client.endpoint;
  options.ca_file = client.ca_file;
  if (client.token_file.empty()) return {};
  auto endpoint = parse_endpoint(client.endpoint);
  if (!endpoint.ok()) return endpoint.status();
  const auto token = read_token(client.token_file);
  if (!token.ok()) return token.status();
  options.api_endpoint = endpoint->url;
  options.headers.push_back({"Authorization", "Bearer " + token.value()});
  return {};
}

Status refusal(const ClientAnswer& answer, const std::string& url) {
  std::string message = url + " answers " + std::to_string(answer.status);
  if (answer.status == 401 || answer.status == 403) {
    message += ": the token is missing or not valid (--token-file)";
  } else if (answer.status == 404) {
    message += ": there is no log aggregation API at this address";
  } else if (!answer.body.empty()) {
    message += ": " + answer.body.substr(0, kShownBytes);
  }
  return Status::unavailable(std::move(message));
}

}  // namespace log_aggregator::cli
