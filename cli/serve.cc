// `log-aggregator serve`: puts the collector together and runs it until a signal ends it.

#include <pthread.h>
#include <sys/resource.h>

#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "cli/commands.h"
#include "collector/http/api.h"
#include "collector/http/server.h"
#include "collector/store/sqlite_store.h"

namespace log_aggregator::cli {

namespace {

using collector::Api;
using collector::HttpServer;
using collector::HttpServerOptions;
using collector::Site;
using collector::SqliteStore;
using collector::TokenSet;

constexpr std::string_view kSqlitePrefix = "sqlite:";

struct ServeOptions {
  std::string listen = "127.0.0.1:8080";
  std::string store;
  std::string token_file;
  std::vector<std::string> allowed_hosts;
  bool full_text = true;
};

// HOST:PORT, where an IPv6 host stands in brackets.
Status parse_listen(const std::string& text, HttpServerOptions& options) {
  Status wrong =
      Status::invalid_argument("--listen must be HOST:PORT, such as 127.0.0.1:8080 or [::1]:8080");
  const auto colon = text.rfind(':');
  if (colon == std::string::npos || colon == 0) return wrong;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data() + colon + 1, end, options.port);
  if (error != std::errc() || stop != end) return wrong;
  options.host = text.substr(0, colon);
  const bool in_brackets = options.host.front() == '[' && options.host.back() == ']';
  if (in_brackets) {
    options.host = options.host.substr(1, options.host.size() - 2);
  } else if (options.host.find(':') != std::string::npos) {
    return wrong;
  }
  return {};
}

// Makes the directory for the user's own data, as the XDG base directory specification places it.
Result<std::string> default_store_path() {
  namespace fs = std::filesystem;
  const char* data_home = std::getenv("XDG_DATA_HOME");
  const char* home = std::getenv("HOME");
  fs::path directory;
  if (data_home != nullptr && *data_home == '/') {
    directory = data_home;
  } else if (home != nullptr && *home == '/') {
    directory = fs::path(home) / ".local" / "share";
  } else {
    return Status::invalid_argument("there is no home directory: say where with --store");
  }
  directory /= "log-aggregator";
  std::error_code error;
  if (fs::create_directories(directory, error)) {
    fs::permissions(directory, fs::perms::owner_all, error);
  }
  if (error) {
    return Status::unavailable("cannot make the directory " + directory.string() + ": " +
                               error.message());
  }
  return (directory / "logs.sqlite").string();
}

Result<std::string> store_path(const std::string& option) {
  if (option.empty()) return default_store_path();
  const bool is_sqlite = option.compare(0, kSqlitePrefix.size(), kSqlitePrefix) == 0;
  if (!is_sqlite || option.size() == kSqlitePrefix.size()) {
    return Status::invalid_argument("--store must be sqlite:PATH");
  }
  return option.substr(kSqlitePrefix.size());
}

Result<Site> make_site(std::vector<std::string> names, const std::string& listen_host) {
  for (const std::string& name : names) {
    if (Site::is_host_name(name)) continue;
    return Status::invalid_argument(
        "--allowed-host must be the name of a host, without a port, such as logs.example.com");
  }
  names.push_back(listen_host);
  return Site(names);
}

// Every connection needs a file descriptor, and the usual soft limit is 1024.
void raise_descriptor_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

// The signals that end the collector, blocked in this thread and in all that it starts from now on,
// so that wait() takes them.
class StopSignals {
 public:
  StopSignals() {
    sigemptyset(&set_);
    sigaddset(&set_, SIGINT);
    sigaddset(&set_, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &set_, nullptr);
  }

  // After the first signal, a second one ends the process at once.
  void wait() const {
    int number = 0;
    sigwait(&set_, &number);
    pthread_sigmask(SIG_UNBLOCK, &set_, nullptr);
  }

 private:
  sigset_t set_;
};

int serve(const ServeOptions& options) {
  TokenSet tokens;
  if (!options.token_file.empty()) {
    auto loaded = TokenSet::load(options.token_file);
    if (!loaded.ok()) return fail(loaded.status());
    tokens = std::move(loaded).value();
  }
  HttpServerOptions server_options;
  server_options.loopback_only = tokens.empty();
  if (Status parsed = parse_listen(options.listen, server_options); !parsed.ok()) {
    return fail(parsed);
  }
  auto site = make_site(options.allowed_hosts, server_options.host);
  if (!site.ok()) return fail(site.status());

  std::signal(SIGPIPE, SIG_IGN);
  raise_descriptor_limit();
  const StopSignals signals;
  auto server = HttpServer::listen(server_options);
  if (!server.ok()) return fail(server.status());
  auto path = store_path(options.store);
  if (!path.ok()) return fail(path.status());
  auto store = SqliteStore::open(std::move(path).value(), {.full_text = options.full_text});
  if (!store.ok()) return fail(store.status());

  Api api(*store.value(), std::move(tokens), LOG_AGGREGATOR_VERSION, std::move(site).value());
  server.value()->serve(api);
  std::printf("listening on %s\n", server.value()->url().c_str());
  std::fflush(stdout);
  signals.wait();
  server.value()->stop();
  return 0;
}

}  // namespace

void add_serve_command(CLI::App& app, Run& run) {
  auto options = std::make_shared<ServeOptions>();
  CLI::App* command = app.add_subcommand("serve", "Takes records over HTTP and stores them");
  command
      ->add_option("--listen", options->listen,
                   "Address to listen on; port 0 picks a free one. Another address than one of "
                   "this machine's own (127.0.0.1, ::1) needs --token-file")
      ->type_name("HOST:PORT")
      ->capture_default_str();
  command
      ->add_option("--store", options->store,
                   "Where records are kept. Without it: sqlite:log-aggregator/logs.sqlite in "
                   "$XDG_DATA_HOME, or in ~/.local/share")
      ->type_name("sqlite:PATH");
  command
      ->add_option("--token-file", options->token_file,
                   "File of the tokens that are taken, one per line. Clients show one as "
                   "'Authorization: Bearer TOKEN' or as the password of Basic authentication")
      ->type_name("FILE");
  command
      ->add_option("--allowed-host", options->allowed_hosts,
                   "A name by which clients reach the collector; may be repeated. IP addresses, "
                   "localhost, this machine's name and the host of --listen are always allowed")
      ->type_name("NAME")
      ->allow_extra_args(false);
  command->add_flag("!--no-full-text", options->full_text,
                    "Do not index words: takes in more records a second, and searches slowly");
  command->footer(
      "Examples:\n"
      "  log-aggregator serve\n"
      "  log-aggregator serve --listen 0.0.0.0:8080 --store sqlite:/var/lib/logs.sqlite "
      "--token-file /etc/log-aggregator.tokens\n\n"
      "Prints 'listening on http://HOST:PORT' when it is ready. SIGTERM and SIGINT end it: "
      "requests\n"
      "under way are answered first.");
  command->callback([options, &run] { run = [options] { return serve(*options); }; });
}

}  // namespace log_aggregator::cli
