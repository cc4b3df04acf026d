#include "src/base/trust_store.h"

#include <curl/curl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <list>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "src/testing/temporary_directory.h"

namespace log_aggregator {
namespace {

using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;
using Place = TrustStore::Place;

constexpr const char* kVariables[] = {"SSL_CERT_FILE", "SSL_CERT_DIR", "CURL_CA_BUNDLE"};

// A system with places of its own in the stead of this one's, and an environment that is put back.
class TrustStoreTest : public ::testing::Test {
 protected:
  TrustStoreTest() {
    for (const char* name : kVariables) {
      if (const char* value = std::getenv(name)) kept_[name] = value;
      ::unsetenv(name);
    }
  }
  ~TrustStoreTest() override {
    for (const char* name : kVariables) {
      ::unsetenv(name);
      if (kept_.contains(name)) ::setenv(name, kept_[name].c_str(), 1);
    }
  }

  static void set(const char* variable, const std::string& value) {
    ::setenv(variable, value.c_str(), 1);
  }
  std::string path(const std::string& name) const { return directory_.path() + "/" + name; }
  std::string write(const std::string& name, const std::string& text = "a certificate") {
    std::filesystem::create_directories(std::filesystem::path(path(name)).parent_path());
    std::ofstream(path(name)) << text;
    return path(name);
  }
  std::string make_directory(const std::string& name) {
    std::filesystem::create_directories(path(name));
    return path(name);
  }
  // One that the system is searched for, whether or not it is there.
  void know_file(const std::string& name) { files_.push_back(keep(path(name))); }
  void know_directory(const std::string& name) { directories_.push_back(keep(path(name))); }

  TrustStore store() const {
    return TrustStore({.of_libcurl = of_libcurl_, .files = files_, .directories = directories_});
  }
  std::string explain(CURLcode code = CURLE_PEER_FAILED_VERIFICATION) const {
    return store().explain(code, "no trust");
  }

  std::optional<Place> of_libcurl_ = Place{};

 private:
  const char* keep(std::string text) { return names_.emplace_back(std::move(text)).c_str(); }

  testing::TemporaryDirectory directory_;
  std::map<std::string, std::string> kept_;
  std::list<std::string> names_;
  std::vector<const char*> files_;
  std::vector<const char*> directories_;
};

TEST_F(TrustStoreTest, the_first_known_file_that_holds_anything_is_used) {
  for (const char* name :
       {"missing.pem", "directory.pem", "empty.pem", "first.pem", "second.pem"}) {
    know_file(name);
  }
  make_directory("directory.pem");
  write("empty.pem", "");
  write("second.pem");
  EXPECT_EQ(store().find(), (Place{path("second.pem"), ""}));
  write("first.pem");
  EXPECT_EQ(store().find(), (Place{path("first.pem"), ""}));
}

TEST_F(TrustStoreTest, a_file_that_may_not_be_read_is_passed_over) {
  if (::geteuid() == 0) GTEST_SKIP() << "the superuser may read everything";
  know_file("secret.pem");
  know_file("open.pem");
  std::filesystem::permissions(write("secret.pem"), std::filesystem::perms::none);
  write("open.pem");
  EXPECT_EQ(store().find(), (Place{path("open.pem"), ""}));
}

TEST_F(TrustStoreTest, without_a_file_the_first_directory_with_hashed_names_is_used) {
  for (const char* name : {"missing", "plain", "hashed"}) know_directory(name);
  know_file("bundle.pem");
  for (const char* name : {"plain/authority.pem", "plain/4bfab552", "plain/4bfab552.r0",
                           "plain/4BFAB552.0", "plain/4bfab552.", "hashed/4bfab552.0"}) {
    write(name);
  }
  EXPECT_EQ(store().find(), (Place{"", path("hashed")}));
  write("bundle.pem");
  EXPECT_EQ(store().find(), (Place{path("bundle.pem"), ""}));
}

TEST_F(TrustStoreTest, a_store_that_is_installed_later_is_found) {
  know_file("bundle.pem");
  const TrustStore before = store();
  EXPECT_EQ(before.find(), Place{});
  write("bundle.pem");
  EXPECT_EQ(before.find(), (Place{path("bundle.pem"), ""}));
}

TEST_F(TrustStoreTest, a_default_of_libcurl_is_left_alone) {
  know_file("bundle.pem");
  write("bundle.pem");
  for (const Place& place : {Place{"/libcurl.pem", ""}, Place{"", "/libcurl"}}) {
    of_libcurl_ = place;
    EXPECT_EQ(store().find(), Place{});
  }
}

TEST_F(TrustStoreTest, what_the_environment_names_comes_before_all_defaults) {
  know_file("bundle.pem");
  write("bundle.pem");
  of_libcurl_ = Place{"/libcurl.pem", ""};
  set("CURL_CA_BUNDLE", "/bundle");
  EXPECT_EQ(store().find(), (Place{"/bundle", ""}));
  set("SSL_CERT_DIR", "/one:/two");
  EXPECT_EQ(store().find(), (Place{"", "/one:/two"}));
  set("SSL_CERT_FILE", "/file");
  EXPECT_EQ(store().find(), (Place{"/file", "/one:/two"}));
  ::unsetenv("SSL_CERT_DIR");
  EXPECT_EQ(store().find(), (Place{"/file", ""}));
}

TEST_F(TrustStoreTest, an_empty_variable_is_not_set) {
  set("SSL_CERT_FILE", "");
  set("SSL_CERT_DIR", "");
  set("CURL_CA_BUNDLE", "/bundle");
  EXPECT_EQ(store().find(), (Place{"/bundle", ""}));
  set("CURL_CA_BUNDLE", "");
  EXPECT_EQ(store().find(), Place{});
}

TEST_F(TrustStoreTest, the_environment_is_that_of_the_construction) {
  set("SSL_CERT_FILE", "/first");
  const TrustStore made = store();
  set("SSL_CERT_FILE", "/second");
  EXPECT_EQ(made.find(), (Place{"/first", ""}));
}

TEST_F(TrustStoreTest, the_linked_libcurl_says_its_default) {
  of_libcurl_.reset();
  know_file("bundle.pem");
  write("bundle.pem");
  const curl_version_info_data* const about = curl_version_info(CURLVERSION_NOW);
  const bool has_one = about->cainfo != nullptr || about->capath != nullptr;
  EXPECT_EQ(store().find().empty(), has_one);
}

// ---- what is told of it

TEST_F(TrustStoreTest, other_failures_are_told_in_libcurls_words) {
  set("SSL_CERT_FILE", "/nowhere.pem");
  EXPECT_EQ(explain(CURLE_COULDNT_CONNECT), "no trust");
}

TEST_F(TrustStoreTest, where_no_authorities_were_found_it_is_said_what_to_do) {
  EXPECT_THAT(explain(), AllOf(StartsWith("no trust; no certificate authorities were found"),
                               HasSubstr("install ca-certificates"), HasSubstr("ca_file"),
                               HasSubstr("SSL_CERT_FILE")));
  know_file("bundle.pem");
  write("bundle.pem");
  EXPECT_EQ(explain(), "no trust");
}

TEST_F(TrustStoreTest, a_default_of_libcurl_that_is_not_there_is_no_authority) {
  for (const Place& place : {Place{path("default.pem"), ""}, Place{"", path("hashed")},
                             Place{path("default.pem"), path("hashed")}}) {
    of_libcurl_ = place;
    EXPECT_THAT(explain(CURLE_SSL_CACERT_BADFILE), HasSubstr("install ca-certificates"));
  }
  write("default.pem");
  EXPECT_EQ(explain(), "no trust");
  write("hashed/4bfab552.0");
  of_libcurl_ = Place{"", path("hashed")};
  EXPECT_EQ(explain(), "no trust");
}

TEST_F(TrustStoreTest, a_named_file_that_cannot_be_read_is_told_with_its_variable_and_the_reason) {
  for (const char* name : {"CURL_CA_BUNDLE", "SSL_CERT_FILE"}) {
    set(name, path("missing.pem"));
    EXPECT_EQ(explain(CURLE_SSL_CACERT_BADFILE),
              name + (" is " + path("missing.pem")) +
                  ", which cannot be read: No such file or directory");
  }
  set("SSL_CERT_FILE", make_directory("directory"));
  EXPECT_THAT(explain(CURLE_SSL_CACERT_BADFILE), EndsWith("cannot be read: Is a directory"));
}

TEST_F(TrustStoreTest, a_server_that_named_authorities_do_not_vouch_for_is_told_with_their_names) {
  set("SSL_CERT_FILE", write("bundle.pem"));
  EXPECT_EQ(explain(), "no trust; SSL_CERT_FILE is " + path("bundle.pem"));
  write("hashed/4bfab552.0");
  set("SSL_CERT_DIR", path("hashed"));
  EXPECT_EQ(explain(), "no trust; SSL_CERT_FILE is " + path("bundle.pem") + "; SSL_CERT_DIR is " +
                           path("hashed"));
}

TEST_F(TrustStoreTest, named_directories_of_no_use_are_told_with_the_reason) {
  set("SSL_CERT_DIR", path("missing"));
  EXPECT_THAT(explain(), EndsWith("; SSL_CERT_DIR is " + path("missing") +
                                  ", which cannot be read: No such file or directory"));
  set("SSL_CERT_DIR", make_directory("plain"));
  EXPECT_THAT(explain(), EndsWith("no certificate has its hash as its name (openssl rehash)"));
  write("hashed/4bfab552.0");
  set("SSL_CERT_DIR", path("missing") + ":" + path("plain") + "::" + path("hashed"));
  EXPECT_THAT(explain(), Not(HasSubstr("cannot be read")));
}

}  // namespace
}  // namespace log_aggregator
