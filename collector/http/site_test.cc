#include "collector/http/site.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

namespace log_aggregator::collector {
namespace {

using testing::HasSubstr;

// 0: not refused.
int status_of(const HttpHeaders& headers, const Site& site = Site({"Logs.example.com."})) {
  HttpRequest request;
  request.headers = headers;
  const auto error = site.refuse(request);
  return error ? error->status : 0;
}

int host_status(const std::string& host) { return status_of({{"Host", host}}); }

int origin_status(const std::string& host, const std::string& origin) {
  return status_of({{"Host", host}, {"oRiGiN", origin}});
}

TEST(Site, GoesByAddressesWhateverThePort) {
  for (const char* host : {"127.0.0.1", "127.0.0.1:8080", "10.1.2.3:1", "[::1]", "[::1]:8080",
                           "[2001:db8::7]:80", "127.0.0.1:", "127.0.0.1."}) {
    EXPECT_EQ(host_status(host), 0) << host;
  }
}

TEST(Site, GoesByTheNamesItHasInEitherCaseAndWithTheDotOfTheRoot) {
  for (const char* host : {"localhost", "LocalHost:8080", "localhost.", "logs.example.com",
                           "LOGS.EXAMPLE.COM:443", "logs.example.com.:443"}) {
    EXPECT_EQ(host_status(host), 0) << host;
  }
  char name[256] = {};
  ASSERT_EQ(gethostname(name, sizeof name - 1), 0);
  EXPECT_EQ(host_status(name), 0) << name;
}

TEST(Site, AnyOtherNameMayBeSomebodyElses) {
  for (const char* host :
       {"evil.example", "evil.example:8080", "logs.example.com.evil.example", "example.com",
        "xlogs.example.com", "localhost.evil.example", "127.0.0.1.nip.io", "127.1", "0x7f000001",
        "2130706433", "127.0.0.256", "a.localhost"}) {
    EXPECT_EQ(host_status(host), 421) << host;
  }
}

TEST(Site, SaysHowANameIsAllowed) {
  HttpRequest request;
  request.headers = {{"Host", "Logs.Internal:8080"}};
  EXPECT_THAT(Site().refuse(request)->reason, HasSubstr("--allowed-host logs.internal"));
}

TEST(Site, AMalformedHostOrNoneOrTwoIs400) {
  for (const char* host : {"",
                           ".",
                           "..",
                           "a..b",
                           ":8080",
                           "localhost:80:80",
                           "localhost:x",
                           "localhost:123456",
                           "localhost:-1",
                           "local host",
                           "localhost,evil.example",
                           "localhost/",
                           "user@localhost",
                           "http://localhost",
                           "::1",
                           "[::1",
                           "[]",
                           "[::1]x",
                           "[::1]80",
                           "[localhost]",
                           "[127.0.0.1]",
                           "[::1]:x",
                           "[fe80::1%25lo]",
                           "localhost\t",
                           "localh\xc3\xb6st",
                           "*"}) {
    EXPECT_EQ(host_status(host), 400) << host;
  }
  EXPECT_EQ(host_status(std::string("localhost\0.evil.example", 23)), 400);
  EXPECT_EQ(host_status(std::string("[::1\0]", 6)), 400);
  EXPECT_EQ(host_status(std::string(64, 'a')), 400);
  EXPECT_EQ(status_of({}), 400);
  EXPECT_EQ(status_of({{"Host", "localhost"}, {"host", "localhost"}}), 400);
}

TEST(Site, PagesOfItsOwnMayAskAlsoBehindAProxyWithTls) {
  EXPECT_EQ(origin_status("localhost:8080", "http://localhost:8080"), 0);
  EXPECT_EQ(origin_status("LOCALHOST:8080", "HTTP://localhost:8080"), 0);
  EXPECT_EQ(origin_status("[::1]:8080", "http://[::1]:8080"), 0);
  EXPECT_EQ(origin_status("logs.example.com", "https://logs.example.com"), 0);
}

TEST(Site, PagesOfAnotherOriginMayNot) {
  for (const char* origin :
       {"http://evil.example", "https://evil.example", "null", "", "http://localhost",
        "http://localhost:8081", "http://localhost:80801", "http://127.0.0.1:8080",
        "localhost:8080", "ftp://localhost:8080", "file://", "http://localhost:8080/",
        "http://localhost:8080.evil.example", "http://evil.example http://localhost:8080",
        "http://localhost:8080@evil.example"}) {
    EXPECT_EQ(origin_status("localhost:8080", origin), 403) << origin;
  }
  EXPECT_EQ(status_of({{"Host", "localhost"},
                       {"Origin", "http://localhost"},
                       {"Origin", "http://evil.example"}}),
            403);
}

TEST(Site, NamesOfHostsHaveNoPortAndNoWildcard) {
  for (const char* name :
       {"logs", "logs.example.com", "logs.example.com.", "my_container-1", "10.0.0.1"}) {
    EXPECT_TRUE(Site::is_host_name(name)) << name;
  }
  for (const char* name : {"", ".", "*", "*.example.com", "logs:8080", "http://logs", "a b", "a..b",
                           ".a", "[::1]", "l\xc3\xb6gs"}) {
    EXPECT_FALSE(Site::is_host_name(name)) << name;
  }
  EXPECT_FALSE(Site::is_host_name(std::string(63, 'a') + "." + std::string(64, 'a')));
  std::string long_name = "a";
  for (int i = 0; i < 127; ++i) long_name += ".a";
  EXPECT_FALSE(Site::is_host_name(long_name));
}

}  // namespace
}  // namespace log_aggregator::collector
