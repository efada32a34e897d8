#include "http/url.h"

#include <gmock/gmock.h>

namespace perdure::http {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

Url parsed(std::string_view text) {
  auto url = parse_url(text);
  EXPECT_TRUE(url) << text << ": " << url.error().message;
  return url ? *url : Url{};
}

TEST(Url, TellsWhereAndWhat) {
  Url url = parsed("https://API.Example.com/v1/responses?stream=true&q=a%20b#top");
  EXPECT_TRUE(url.tls);
  EXPECT_EQ(url.scheme(), "https");
  EXPECT_EQ(url.host, "api.example.com");
  EXPECT_FALSE(url.is_address);
  EXPECT_EQ(url.port, 443);
  EXPECT_EQ(url.authority, "api.example.com");
  EXPECT_EQ(url.target, "/v1/responses?stream=true&q=a%20b");
  EXPECT_EQ(url.origin(), "https://api.example.com");
}

TEST(Url, FillsInWhatIsLeftOut) {
  EXPECT_EQ(parsed("http://host").target, "/");
  EXPECT_EQ(parsed("http://host?x=1").target, "/?x=1");
  EXPECT_EQ(parsed("http://host#f").target, "/");
  EXPECT_EQ(parsed("http://host").port, 80);
  EXPECT_EQ(parsed("http://host:/x").port, 80);
  EXPECT_EQ(parsed("HTTP://host:80/").authority, "host");
  EXPECT_EQ(parsed("https://host:80/").authority, "host:80");
  EXPECT_EQ(parsed("http://host:8080/a//b/../c").target, "/a//b/../c");
}

TEST(Url, TakesAddresses) {
  Url four = parsed("http://127.0.0.1:9000/x");
  EXPECT_TRUE(four.is_address);
  EXPECT_EQ(four.host, "127.0.0.1");
  EXPECT_EQ(four.authority, "127.0.0.1:9000");
  Url six = parsed("https://[::1]:8443/x");
  EXPECT_TRUE(six.is_address);
  EXPECT_EQ(six.host, "::1");
  EXPECT_EQ(six.authority, "[::1]:8443");
  EXPECT_EQ(parsed("http://[2001:DB8::1]/").authority, "[2001:db8::1]");
}

TEST(Url, RefusesWhatItCannotReach) {
  for (std::string_view text : {"",
                                "host",
                                "/path",
                                "//host/path",
                                "ftp://host/",
                                "ws://host/",
                                "file:///etc/passwd",
                                "http:",
                                "http:/x",
                                "http://",
                                "http:///x",
                                "http://:80/",
                                "http://host:0/",
                                "http://host:65536/",
                                "http://host:99999999999/",
                                "http://host:x/",
                                "http://host:-1/",
                                "http://ho st/",
                                "http://host/a b",
                                "http://host/\r\nX: y",
                                "http://host/%zz",
                                "http://h\xC3\xB6st/",
                                "http://host/\xC3\xB6",
                                "http://%6cocalhost/",
                                "http://a%00b/",
                                "http://[::1",
                                "http://[zz]/",
                                "http://[v1.x]/",
                                "http://[fe80::1%25eth0]/",
                                "http://a..b/",
                                "http://.a/",
                                "http://a*b/",
                                "http://1.2.3.4.evil.example/",
                                "http://1.2.3.4evil/"})
    EXPECT_FALSE(parse_url(text)) << text;
  EXPECT_FALSE(parse_url("http://host/" + std::string(20'000, 'a')));
  EXPECT_FALSE(parse_url("http://" + std::string(300, 'a') + "/"));
}

TEST(Url, RefusesNumbersInDisguise) {
  for (std::string_view text :
       {"http://2130706433/", "http://0x7f000001/", "http://127.1/", "http://0177.0.0.1/",
        "http://127.0.0.1./", "http://1.2.3.4.5/", "http://256.0.0.1/", "http://host.0x1/"})
    EXPECT_FALSE(parse_url(text)) << text;
  for (std::string_view name : {"1password.com", "2fauth", "0xyz", "node-1"})
    EXPECT_EQ(parsed("http://" + std::string(name) + "/").host, name);
}

TEST(Url, RefusesUserInformationWithoutRepeatingIt) {
  for (std::string_view text : {"https://user:secret@host/", "https://secret@host/",
                                "https://@host/", "http://example.com@127.0.0.1/"}) {
    auto url = parse_url(text);
    ASSERT_FALSE(url) << text;
    EXPECT_EQ(url.error().code, ErrorCode::kInvalidArgument);
    EXPECT_THAT(url.error().message, Not(HasSubstr("secret")));
  }
}

}  // namespace
}  // namespace perdure::http
