// Client: requests of the commands to an API, by libcurl. ClientOptions are the options that every
// such command takes.

#pragma once

#include <CLI/CLI.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "log_aggregator/options.h"
#include "log_aggregator/status.h"

namespace log_aggregator::cli {

struct ClientOptions {
  std::string endpoint;
  std::string token_file;
  std::string ca_file;

  // --endpoint, --token-file and --ca-file.
  void add_to(CLI::App& command);
};

struct ClientAnswer {
  long status = 0;
  std::string body;
  std::chrono::milliseconds duration{0};
};

// For one thread. Redirects are not followed, so that a token goes nowhere else.
class Client {
 public:
  static Result<Client> create(const ClientOptions& options);
  Client(Client&&) noexcept;
  ~Client();

  // Addresses without credentials, fit to be shown.
  const std::string& endpoint() const;
  const std::string& health_url() const;

  // The endpoint with another segment after its path, and parameters ("a=1&b=2") after its own.
  std::string url_of(std::string_view segment, std::string_view parameters) const;

  // Any answer is a success here; the status says what it means.
  Result<ClientAnswer> get(const std::string& url);

  // The same for an answer without an end: the bytes of a 2xx go to `on_bytes` as they come, until
  // it returns false or the server ends. Fails where nothing comes for longer than a server would
  // be silent. `last_event_id` is sent where it is not empty.
  using OnBytes = std::function<bool(std::string_view bytes)>;
  Result<ClientAnswer> stream(const std::string& url, const std::string& last_event_id,
                              const OnBytes& on_bytes);
  // `text` as part of a URL.
  std::string encode(std::string_view text);

 private:
  struct Impl;
  explicit Client(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// The first line of a token file that holds anything.
Result<std::string> read_token(const std::string& path);

// The endpoint, what is shown to it and who is trusted, for the core. A token takes the place of a
// user and password in the URL.
Status add_credentials(const ClientOptions& client, Options& options);

// What an answer other than 2xx means, for whoever made the request.
Status refusal(const ClientAnswer& answer, const std::string& url);

}  // namespace log_aggregator::cli
