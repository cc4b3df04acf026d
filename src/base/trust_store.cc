#include "src/base/trust_store.h"

#include <curl/curl.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string_view>
#include <utility>

namespace log_aggregator {
namespace {

// A bundle where there is one: it is read at once, and complete.
constexpr const char* kFiles[] = {
    "/etc/ssl/certs/ca-certificates.crt",                 // Debian, Ubuntu, Gentoo, Arch, Alpine
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",  // Fedora, RHEL from 7
    "/etc/pki/tls/certs/ca-bundle.crt",                   // RHEL 6, Amazon Linux
    "/etc/ssl/ca-bundle.pem",                             // openSUSE, SLES
    "/etc/pki/tls/cacert.pem",                            // OpenELEC
    "/etc/ssl/cert.pem",                                  // Alpine, the BSDs, macOS
    "/usr/local/etc/ssl/cert.pem",                        // FreeBSD
    "/opt/etc/ssl/certs/ca-certificates.crt",             // Entware
};
constexpr const char* kDirectories[] = {
    "/etc/ssl/certs",
    "/etc/pki/ca-trust/extracted/pem/directory-hash",
    "/etc/pki/tls/certs",
};

constexpr const char kHowToHaveOne[] =
    "no certificate authorities were found: install ca-certificates, or set ca_file or "
    "SSL_CERT_FILE";

std::string variable(const char* name) {
  const char* const value = ::secure_getenv(name);
  return value == nullptr ? "" : value;
}

// 0: it can be read. It need not be a plain file: what a shell passes as /dev/fd/63 is none.
int why_unreadable(const char* path) {
  struct stat about {};
  if (::stat(path, &about) != 0) return errno;
  if (S_ISDIR(about.st_mode)) return EISDIR;
  return ::faccessat(AT_FDCWD, path, R_OK, AT_EACCESS) == 0 ? 0 : errno;
}

// An empty one would be an error to libcurl, and hide the next.
bool is_bundle(const char* path) {
  struct stat about {};
  return why_unreadable(path) == 0 && ::stat(path, &about) == 0 && about.st_size > 0;
}

// As 4bfab552.0: OpenSSL finds a certificate by that alone.
bool is_hash_name(std::string_view name) {
  constexpr std::size_t kHashDigits = 8;
  constexpr std::string_view kHex = "0123456789abcdef";
  return name.size() > kHashDigits + 1 && name[kHashDigits] == '.' &&
         name.substr(0, kHashDigits).find_first_not_of(kHex) == std::string_view::npos &&
         name.substr(kHashDigits + 1).find_first_not_of("0123456789") == std::string_view::npos;
}

// Whether OpenSSL would find a certificate in there; `error` says why it cannot be looked at.
bool has_certificates(const std::string& directory, std::error_code& error) {
  std::filesystem::directory_iterator entry(directory, error);
  for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
    if (is_hash_name(entry->path().filename().native())) return true;
  }
  return false;
}

// Of a list with colons; empty where one of them serves.
std::string trouble_with(std::string_view directories) {
  std::error_code first_error;
  while (!directories.empty()) {
    const std::size_t end = std::min(directories.find(':'), directories.size());
    std::error_code error;
    if (has_certificates(std::string(directories.substr(0, end)), error)) return {};
    if (!first_error) first_error = error;
    directories.remove_prefix(std::min(end + 1, directories.size()));
  }
  if (first_error) return ", which cannot be read: " + first_error.message();
  return ", where no certificate has its hash as its name (openssl rehash)";
}

TrustStore::Place default_of_linked_libcurl() {
  const curl_version_info_data* const about = curl_version_info(CURLVERSION_NOW);
  if (about->age < CURLVERSION_SEVENTH) return {};
  return {about->cainfo == nullptr ? "" : about->cainfo,
          about->capath == nullptr ? "" : about->capath};
}

// Both, since libcurl may have a default for the one that is not given.
bool set_place(CURL* easy, CURLoption file, CURLoption directories,
               const TrustStore::Place& place) {
  const auto set = [easy](CURLoption option, const std::string& value) {
    const CURLcode code = curl_easy_setopt(easy, option, value.empty() ? nullptr : value.c_str());
    // What a libcurl cannot do, it has no default for either.
    return code == CURLE_OK || code == CURLE_NOT_BUILT_IN || code == CURLE_UNKNOWN_OPTION;
  };
  return place.empty() || (set(file, place.file) && set(directories, place.directories));
}

}  // namespace

TrustStore::Defaults TrustStore::of_this_system() {
  return {.of_libcurl = {}, .files = kFiles, .directories = kDirectories};
}

TrustStore::TrustStore(const Defaults& defaults)
    : defaults_(defaults),
      file_variable_("SSL_CERT_FILE"),
      named_{variable(file_variable_), variable("SSL_CERT_DIR")} {
  if (!named_.empty()) return;
  file_variable_ = "CURL_CA_BUNDLE";
  named_.file = variable(file_variable_);
}

TrustStore::Place TrustStore::find() const {
  if (!named_.empty()) return named_;
  if (!libcurl_default().empty()) return {};
  for (const char* file : defaults_.files) {
    if (is_bundle(file)) return {file, ""};
  }
  for (const char* directory : defaults_.directories) {
    std::error_code ignored;
    if (has_certificates(directory, ignored)) return {"", directory};
  }
  return {};
}

TrustStore::Place TrustStore::libcurl_default() const {
  return defaults_.of_libcurl ? *defaults_.of_libcurl : default_of_linked_libcurl();
}

bool TrustStore::apply(void* easy, const std::string& ca_file) const {
  const Place found = find();
  return set_place(easy, CURLOPT_CAINFO, CURLOPT_CAPATH,
                   ca_file.empty() ? found : Place{ca_file, ""}) &&
         set_place(easy, CURLOPT_PROXY_CAINFO, CURLOPT_PROXY_CAPATH, found);
}

bool TrustStore::concerns(int curl_code) {
  return curl_code == CURLE_PEER_FAILED_VERIFICATION || curl_code == CURLE_SSL_CACERT_BADFILE;
}

std::string TrustStore::explain(int curl_code, std::string words) const {
  if (!concerns(curl_code)) return words;
  if (named_.empty()) return has_none() ? words + "; " + kHowToHaveOne : words;
  // Then libcurl's words are of the same file, without its variable and the system's reason.
  if (const int error = named_.file.empty() ? 0 : why_unreadable(named_.file.c_str())) {
    return std::string(file_variable_) + " is " + named_.file +
           ", which cannot be read: " + std::strerror(error);
  }
  return words + describe_named();
}

std::string TrustStore::describe_named() const {
  std::string text;
  if (!named_.file.empty()) text = std::string("; ") + file_variable_ + " is " + named_.file;
  if (named_.directories.empty()) return text;
  return text + "; SSL_CERT_DIR is " + named_.directories + trouble_with(named_.directories);
}

bool TrustStore::has_none() const {
  const Place of_libcurl = libcurl_default();
  if (of_libcurl.empty()) return find().empty();
  if (!of_libcurl.file.empty()) return !is_bundle(of_libcurl.file.c_str());
  return !trouble_with(of_libcurl.directories).empty();
}

}  // namespace log_aggregator
