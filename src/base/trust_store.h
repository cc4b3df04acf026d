// TrustStore: where the certificate authorities are that a server is verified against, if the
// application names no file of them.
//
// The environment comes first: SSL_CERT_FILE and SSL_CERT_DIR as OpenSSL knows them, one or both,
// else CURL_CA_BUNDLE. One that is empty counts as not set, and none counts in a program with more
// rights than its user (secure_getenv). Then libcurl's own default, if it was built with one, else
// the first of the places where distributions keep theirs: a libcurl that is to run on all of them
// has no default. Whatever comes first stands alone; nothing of what comes later is trusted.
//
// The constructor reads the environment, so it belongs on a thread of the application, which alone
// knows when nobody changes it; it touches no file. Constant afterwards. The others look at the
// file system each time, and call libcurl: under whatever guards that.

#pragma once

#include <optional>
#include <span>
#include <string>

namespace log_aggregator {

class TrustStore {
 public:
  // One or both; neither: nothing.
  struct Place {
    std::string file;         // PEM
    std::string directories;  // with a colon between two; of PEM files that are named by their hash

    bool operator==(const Place&) const = default;
    bool empty() const { return file.empty() && directories.empty(); }
  };

  // Where to look if the environment names nothing.
  struct Defaults {
    std::optional<Place> of_libcurl;  // not given: what the linked one says
    std::span<const char* const> files;
    std::span<const char* const> directories;  // after the files
  };
  static Defaults of_this_system();

  explicit TrustStore(const Defaults& defaults = of_this_system());

  // What to tell libcurl. Empty: nothing, because it has a default of its own or because there are
  // no authorities anywhere.
  Place find() const;

  // Makes a handle of libcurl (a CURL*) trust `ca_file` alone, and if that is empty, this store.
  // HTTPS proxies are the system's and not the server's: this store it is for them, always. False
  // where there was no memory; the handle must not be used then.
  bool apply(void* easy, const std::string& ca_file) const;

  // Whether a transfer that ended with this CURLcode failed for want of trust.
  static bool concerns(int curl_code);
  // What to show for a failed transfer without a ca_file: libcurl's words, and where it concerns
  // this store, what that is and what is wrong with it.
  std::string explain(int curl_code, std::string words) const;

 private:
  Place libcurl_default() const;
  bool has_none() const;
  std::string describe_named() const;

  const Defaults defaults_;
  const char* file_variable_ = "";  // that gave named_.file
  Place named_;
};

}  // namespace log_aggregator
