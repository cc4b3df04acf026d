// `log-aggregator check`: whether records can be posted to an endpoint, and in which form.

#include <simdjson.h>

#include <cstdio>
#include <memory>
#include <string>
#include <string_view>

#include "cli/client.h"
#include "cli/commands.h"
#include "cli/terminal_text.h"

namespace log_aggregator::cli {

namespace {

namespace dom = simdjson::dom;

bool is_success(const ClientAnswer& answer) { return answer.status / 100 == 2; }

std::string join_strings(dom::element list) {
  std::string joined;
  dom::array array;
  if (list.get(array) != simdjson::SUCCESS) return joined;
  for (const dom::element each : array) {
    std::string_view text;
    if (each.get(text) != simdjson::SUCCESS) continue;
    if (!joined.empty()) joined += ", ";
    joined += neutralised(text);
  }
  return joined;
}

void print_list(const dom::element& health, std::string_view key, const char* label) {
  dom::element list;
  if (health[key].get(list) != simdjson::SUCCESS) return;
  std::printf("  %s: %s\n", label, join_strings(list).c_str());
}

// An API need not say any of it.
void print_capabilities(const std::string& body) {
  dom::parser parser;
  dom::element health;
  if (parser.parse(body).get(health) != simdjson::SUCCESS || !health.is_object()) return;
  std::string_view version;
  if (health["version"].get(version) == simdjson::SUCCESS) {
    std::printf("  version: %s\n", neutralised(version).c_str());
  }
  std::uint64_t records = 0;
  std::uint64_t bytes = 0;
  if (health["batch"]["max_records"].get(records) == simdjson::SUCCESS &&
      health["batch"]["max_bytes"].get(bytes) == simdjson::SUCCESS) {
    std::printf("  batches: up to %llu records and %llu bytes\n",
                static_cast<unsigned long long>(records), static_cast<unsigned long long>(bytes));
  } else {
    std::printf("  batches: none, one record for each request\n");
  }
  print_list(health, "formats", "formats");
  print_list(health, "encodings", "encodings");
}

int check(const ClientOptions& options) {
  auto client = Client::create(options);
  if (!client.ok()) return fail(client.status());
  const std::string& health_url = client->health_url();
  const auto health = client->get(health_url);
  if (!health.ok()) return fail(health.status());
  if (!is_success(health.value())) return fail(refusal(health.value(), health_url));

  // Health may be open to everyone; whether this token may use the API shows on the endpoint. An
  // API that cannot be queried answers otherwise, which is fine.
  const std::string logs_url = client->endpoint();
  const auto logs = client->get(logs_url);
  if (logs.ok() && (logs.value().status == 401 || logs.value().status == 403)) {
    return fail(refusal(logs.value(), logs_url));
  }
  std::printf("%s answers %ld in %lld ms\n", neutralised(health_url).c_str(), health.value().status,
              static_cast<long long>(health.value().duration.count()));
  print_capabilities(health.value().body);
  return 0;
}

}  // namespace

void add_check_command(CLI::App& app, Run& run) {
  auto options = std::make_shared<ClientOptions>();
  CLI::App* command =
      app.add_subcommand("check", "Asks an API whether it is well and what it takes");
  options->add_to(*command);
  command->footer(
      "Examples:\n"
      "  log-aggregator check --endpoint http://127.0.0.1:8080/api/logs\n"
      "  log-aggregator check --endpoint https://logs.example.com/api/logs --token-file token.txt\n"
      "\nExits with 0 where records can be posted, else with 1.");
  command->callback([options, &run] { run = [options] { return check(*options); }; });
}

}  // namespace log_aggregator::cli
