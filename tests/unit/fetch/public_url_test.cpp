#include "fetch/public_url.h"

#include <gtest/gtest.h>

#include "support/expect_error.h"

namespace itemcrop::fetch {
namespace {

using test::expect_error;

TEST(ParsePublicUrl, ReadsHostAndPort) {
  const PublicUrl plain = parse_public_url("HTTP://Example.COM./a%20b?c=d&e#f");
  EXPECT_EQ(plain.host, "example.com");
  EXPECT_EQ(plain.port, 80);
  EXPECT_FALSE(plain.literal);
  EXPECT_EQ(plain.text.find('#'), std::string::npos);
  EXPECT_NE(plain.text.find("/a%20b?c=d&e"), std::string::npos);

  EXPECT_EQ(parse_public_url("https://example.com").port, 443);
  EXPECT_EQ(parse_public_url("https://example.com:8443/x").port, 8443);
  EXPECT_EQ(parse_public_url("https://xn--bcher-kva.example/").host, "xn--bcher-kva.example");
  EXPECT_EQ(parse_public_url("http://8.8.8.8/").literal, IpAddress::parse("8.8.8.8"));
  const PublicUrl six = parse_public_url("http://[2606:4700:4700:0::1111]:8080/");
  EXPECT_EQ(six.literal, IpAddress::parse("2606:4700:4700::1111"));
  EXPECT_EQ(six.port, 8080);
}

TEST(ParsePublicUrl, EncodesLettersBeyondAscii) {
  EXPECT_EQ(parse_public_url("http://a.example/bl\xc3\xa5.jpg").text,
            "http://a.example/bl%c3%a5.jpg");
}

TEST(ParsePublicUrl, SaysWhatIsWrong) {
  const auto refuses = [](std::string_view url, std::string_view part) {
    expect_error(ErrorCode::kInvalidArgument, part, [&] { parse_public_url(url); });
  };
  refuses("", "must begin with http://");
  refuses("example.com/a.jpg", "must begin with http://");
  refuses("ftp://example.com/", "must begin with http://");
  refuses("file:///etc/passwd", "must begin with http://");
  refuses("http:/example.com/", "must begin with http://");
  refuses("http:///example.com/", "no host");
  refuses("http://", "no host");
  refuses("http://?a", "no host");
  refuses("http://user@example.com/", "user name or password");
  refuses("http://user:secret@example.com/", "user name or password");
  refuses("http://example.com:0/", "port");
  refuses("http://example.com:65536/", "port");
  refuses("http://example.com:/", "port");
  refuses("http://example.com:+80/", "port");
  refuses("http://example.com:80:80/", "port");
  refuses("http://exa mple.com/", "spaces");
  refuses("http://example.com/a\nb", "control");
  refuses(std::string_view("http://example.com/\0", 20), "control");
  refuses("http://example.com\\@127.0.0.1/", "backslash");
  refuses("http://%31%32%37.0.0.1/", "letters, digits");
  refuses("http://ex\xc3\xa4mple.com/", "punycode");
  refuses("http://a..b/", "empty label");
  refuses("http://.a/", "empty label");
  refuses("http://[::1/", "not closed");
  refuses("http://[fe80::1%25eth0]/", "not an IPv6 address");
  refuses("http://[1.2.3.4]/", "not an IPv6 address");
  refuses("http://[::1]x/", "malformed");
  for (const char* host : {"2130706433", "0x7f000001", "0x7f.1", "127.1", "0177.0.0.1", "1.2.3.4.",
                           "1.2.3", "1.2.3.4.5", "256.0.0.1", "0", "a.0x", "a.1"}) {
    refuses(std::string("http://") + host + "/", "neither a name nor an address");
  }
}

TEST(ParsePublicUrl, LimitsTheLength) {
  const std::string prefix = "http://a.example/";
  const std::string longest = prefix + std::string(kMaxUrlBytes - prefix.size(), 'x');
  EXPECT_EQ(parse_public_url(longest).text, longest);
  expect_error(ErrorCode::kLimitExceeded, "8192", [&] { parse_public_url(longest + "x"); });
}

TEST(HostIsListed, MatchesHostsAndSuffixes) {
  const std::vector<std::string> list = {"cdn.example", ".Images.example"};
  EXPECT_TRUE(host_is_listed("cdn.example", list));
  EXPECT_TRUE(host_is_listed("a.images.example", list));
  EXPECT_TRUE(host_is_listed("b.a.images.example", list));
  EXPECT_FALSE(host_is_listed("images.example", list));
  EXPECT_FALSE(host_is_listed("evilimages.example", list));
  EXPECT_FALSE(host_is_listed("x.cdn.example", list));
  EXPECT_FALSE(host_is_listed("cdn.example.evil", list));
  EXPECT_FALSE(host_is_listed("a", {"."}));
  EXPECT_FALSE(host_is_listed("a", {""}));
}

TEST(IsWebPort, LeavesOutOtherProtocols) {
  for (const int port : {80, 443, 1024, 8080, 65535}) EXPECT_TRUE(is_web_port(port)) << port;
  for (const int port : {-1, 0, 1, 22, 25, 53, 81, 1023, 65536}) {
    EXPECT_FALSE(is_web_port(port)) << port;
  }
}

}  // namespace
}  // namespace itemcrop::fetch
