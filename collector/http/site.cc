#include "collector/http/site.h"

#include <arpa/inet.h>
#include <unistd.h>

#include <algorithm>

#include "src/base/text.h"

namespace log_aggregator::collector {

namespace {

constexpr std::size_t kMaxNameBytes = 253;
constexpr std::size_t kMaxLabelBytes = 63;

bool is_digit(char c) { return c >= '0' && c <= '9'; }

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

// Names of containers have underscores, though DNS wants none.
bool is_label(std::string_view label) {
  const auto is_allowed = [](char c) {
    return is_letter(c) || is_digit(c) || c == '-' || c == '_';
  };
  return !label.empty() && label.size() <= kMaxLabelBytes &&
         std::all_of(label.begin(), label.end(), is_allowed);
}

std::string_view without_last_dot(std::string_view name) {
  if (!name.empty() && name.back() == '.') name.remove_suffix(1);
  return name;
}

// How names are compared.
std::string normalized(std::string_view name) {
  std::string lower(without_last_dot(name));
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return lower;
}

bool is_address(int family, std::string_view text) {
  unsigned char address[16];
  return text.find('\0') == std::string_view::npos &&
         inet_pton(family, std::string(text).c_str(), address) == 1;
}

// ":" and a number, or nothing.
bool is_port(std::string_view text) {
  constexpr std::size_t kMaxDigits = 5;
  if (text.empty()) return true;
  text.remove_prefix(1);
  return text.size() <= kMaxDigits && std::all_of(text.begin(), text.end(), is_digit);
}

// An IPv6 address in brackets, perhaps with a port.
bool is_bracketed_address(std::string_view host) {
  const auto end = host.find(']');
  if (host.front() != '[' || end == std::string_view::npos) return false;
  const std::string_view rest = host.substr(end + 1);
  return is_address(AF_INET6, host.substr(1, end - 1)) && (rest.empty() || rest.front() == ':') &&
         is_port(rest);
}

std::string machine_name() {
  char name[kMaxNameBytes + 1] = {};
  return gethostname(name, sizeof name - 1) == 0 ? name : "";
}

std::vector<std::string_view> values_of(const HttpRequest& request, std::string_view name) {
  std::vector<std::string_view> values;
  for (const auto& [each, value] : request.headers) {
    if (equal_ignoring_case(each, name)) values.emplace_back(value);
  }
  return values;
}

// Whether it is the origin of a page of ours, which a proxy may have made https.
bool is_own_origin(std::string_view origin, std::string_view host) {
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (equal_ignoring_case(origin.substr(0, scheme.size()), scheme)) {
      return equal_ignoring_case(origin.substr(scheme.size()), host);
    }
  }
  return false;
}

}  // namespace

Site::Site(const std::vector<std::string>& names)
    : names_{"localhost", normalized(machine_name())} {
  for (const std::string& name : names) names_.insert(normalized(name));
}

std::optional<HttpError> Site::refuse(const HttpRequest& request) const {
  const auto hosts = values_of(request, "Host");
  if (hosts.size() != 1) return HttpError{400, "there must be one header Host"};
  if (auto error = refuse_host(hosts.front())) return error;
  for (const std::string_view origin : values_of(request, "Origin")) {
    if (is_own_origin(origin, hosts.front())) continue;
    return HttpError{403,
                     "the header Origin names another site than Host: only pages of this collector "
                     "may ask it (a proxy in front of it must pass Host on)"};
  }
  return std::nullopt;
}

std::optional<HttpError> Site::refuse_host(std::string_view host) const {
  if (!host.empty() && is_bracketed_address(host)) return std::nullopt;
  const std::string_view name = host.substr(0, host.find(':'));
  if (!is_host_name(name) || !is_port(host.substr(name.size()))) {
    return HttpError{400, "the header Host is malformed"};
  }
  const std::string shown = normalized(name);
  if (is_address(AF_INET, shown) || names_.count(shown) > 0) return std::nullopt;
  return HttpError{421, "this collector does not go by the name " + shown +
                            ": if it should, start it with --allowed-host " + shown};
}

bool Site::is_host_name(std::string_view text) {
  std::string_view rest = without_last_dot(text);
  if (rest.size() > kMaxNameBytes) return false;
  for (auto dot = rest.find('.'); dot != std::string_view::npos; dot = rest.find('.')) {
    if (!is_label(rest.substr(0, dot))) return false;
    rest.remove_prefix(dot + 1);
  }
  return is_label(rest);
}

}  // namespace log_aggregator::collector
