// Server-side request forgery: hostile URLs, given directly, by redirect and by name. What counts
// is what is dialled, so connect() itself is watched.
#include <map>
#include <memory>
#include <set>
#include <stdexcept>
#include <utility>

#include <gtest/gtest.h>

#include "itemcrop/error.h"

#include "fetch/address_policy.h"
#include "fetch/fetch.h"
#include "network_spy.h"
#include "support/http_server.h"

namespace itemcrop::fetch {
namespace {

using test::dialled_addresses;
using test::FakeNames;
using test::HttpServer;
using test::HttpServerConnection;
using test::HttpServerRequest;

/// Addresses that must never be dialled, as a name server could return them.
const std::vector<std::string>& forbidden_addresses() {
  static const std::vector<std::string> addresses = {
      "0.0.0.0",
      "0.0.0.1",
      "10.0.0.1",
      "10.255.255.254",
      "100.64.0.1",
      "100.100.100.200",
      "127.0.0.1",
      "127.0.0.53",
      "127.1.2.3",
      "127.255.255.254",
      "168.63.129.16",
      "169.254.0.1",
      "169.254.169.254",
      "169.254.170.2",
      "169.254.169.123",
      "172.16.0.1",
      "172.17.0.1",
      "172.31.255.254",
      "192.0.0.1",
      "192.0.0.192",
      "192.0.2.1",
      "192.88.99.1",
      "192.168.0.1",
      "192.168.1.254",
      "198.18.0.1",
      "198.19.255.254",
      "198.51.100.1",
      "203.0.113.1",
      "224.0.0.1",
      "239.255.255.250",
      "240.0.0.1",
      "255.255.255.255",
      "::",
      "::1",
      "::127.0.0.1",
      "::ffff:127.0.0.1",
      "::ffff:10.0.0.1",
      "::ffff:169.254.169.254",
      "::ffff:0:127.0.0.1",
      "64:ff9b::127.0.0.1",
      "64:ff9b::169.254.169.254",
      "64:ff9b:1::10.0.0.1",
      "100::1",
      "2001::1",
      "2001:0:7f00:1::",
      "2001:2::1",
      "2001:10::1",
      "2001:db8::1",
      "2002:7f00:1::",
      "2002:a9fe:a9fe::",
      "2002:a00:1::1",
      "3ffe::1",
      "3fff::1",
      "5f00::1",
      "fc00::1",
      "fd00::1",
      "fd00:ec2::254",
      "fd20:ce::254",
      "fe80::1",
      "fec0::1",
      "ff01::1",
      "ff02::1",
      "2606:4700::5efe:127.0.0.1",
  };
  return addresses;
}

std::vector<std::string> hostile_urls(int port) {
  const std::string at_port = ":" + std::to_string(port);
  std::vector<std::string> urls;
  for (const std::string& address : forbidden_addresses()) {
    const bool six = address.find(':') != std::string::npos;
    const std::string host = six ? "[" + address + "]" : address;
    urls.push_back("http://" + host + at_port + "/");
    urls.push_back("https://" + host + "/latest/meta-data/");
  }
  // Notations that only some parsers take for an address.
  for (const char* host : {"2130706433",
                           "017700000001",
                           "0x7f000001",
                           "0x7F.0x0.0x0.0x1",
                           "0177.0.0.1",
                           "0177.0.0.01",
                           "00000177.0.0.1",
                           "127.1",
                           "127.0.1",
                           "127.0.0.1.",
                           "0x7f.1",
                           "0",
                           "0.0",
                           "0x0",
                           "127.0.0.1.:80",
                           "2852039166",
                           "0xa9fea9fe",
                           "0251.0376.0251.0376",
                           "169.254.43518",
                           "169.16689662",
                           "3232235777",
                           "10.1",
                           "4294967295",
                           "127.00.00.01",
                           "127.0.0.0x1",
                           "1.1.1.1.127.0.0.1x",
                           "[::ffff:7f00:1]",
                           "[::FFFF:127.0.0.1]",
                           "[0:0:0:0:0:0:0:1]",
                           "[0000:0000:0000:0000:0000:0000:0000:0001]",
                           "[::0.0.0.1]",
                           "[0:0:0:0:0:ffff:127.0.0.1]",
                           "[::1%25lo]",
                           "[fe80::1%25eth0]",
                           "[::1",
                           "[127.0.0.1]",
                           "%31%32%37%2e0%2e0%2e1",
                           "127%2e0%2e0%2e1",
                           "localhost%00.example.com",
                           "\xe2\x91\xa0\xe2\x91\xa1\xe2\x91\xa6.0.0.1",
                           "\xef\xbc\x91\xef\xbc\x92\xef\xbc\x97.0.0.1",
                           "127\xe3\x80\x82"
                           "0.0.1",
                           "\xe2\x93\x81ocalhost"}) {
    urls.push_back(std::string("http://") + host + at_port + "/");
  }
  // Names, which FakeNames sends inside.
  for (const char* host :
       {"localhost", "LOCALHOST", "localhost.", "a.localhost", "ip6-localhost",
        "metadata.google.internal", "metadata", "instance-data",
        "kubernetes.default.svc.cluster.local", "host.docker.internal", "router.lan", "db",
        "169.254.169.254.nip.example", "localtest.example", "127.0.0.1.xip.example"}) {
    urls.push_back(std::string("http://") + host + at_port + "/");
    urls.push_back(std::string("https://") + host + "/");
  }
  // Credentials, parser differentials, other schemes.
  const std::string inside = "127.0.0.1" + at_port;
  for (const std::string& url :
       std::initializer_list<std::string>{"http://user@" + inside + "/",
                                          "http://user:password@" + inside + "/",
                                          "http://example.com@" + inside + "/",
                                          "http://example.com:80@" + inside + "/",
                                          "http://" + inside + "@example.com/",
                                          "http://" + inside + "#@example.com/",
                                          "http://" + inside + "?@example.com/",
                                          "http://example.com#@" + inside + "/\n",
                                          "http://example.com\\@" + inside + "/",
                                          "http://" + inside + "\\@example.com/",
                                          "http:\\\\" + inside + "/",
                                          "http:/" + inside + "/",
                                          "http:" + inside + "/",
                                          "http:///" + inside + "/",
                                          "http:////" + inside + "/",
                                          "//" + inside + "/",
                                          inside,
                                          "http://[::1]" + inside + "/",
                                          "http://[" + inside + "]/",
                                          " http://" + inside + "/",
                                          "http://" + inside + " /",
                                          "http://\t" + inside + "/",
                                          "http://127.0.0.1\r\nHost: x/",
                                          "http://127.0.0.1%0d%0aX:y/",
                                          "http://localhost\t" + at_port + "/",
                                          std::string("file:///etc/passwd"),
                                          std::string("file://127.0.0.1/etc/passwd"),
                                          "ftp://" + inside + "/",
                                          "gopher://" + inside + "/_GET",
                                          "dict://" + inside + "/info",
                                          "ldap://" + inside + "/",
                                          "smb://" + inside + "/",
                                          "telnet://" + inside + "/",
                                          "tftp://" + inside + "/",
                                          "scp://" + inside + "/",
                                          "rtsp://" + inside + "/",
                                          "ws://" + inside + "/",
                                          "mqtt://" + inside + "/",
                                          "jar:http://" + inside + "/!/",
                                          "data:image/png;base64,AAAA",
                                          "javascript:alert(1)",
                                          "HTTP://" + inside + "/",
                                          "hTtP://LocalHost" + at_port + "/",
                                          "http+unix://%2fvar%2frun%2fdocker.sock/info",
                                          "unix:///var/run/docker.sock",
                                          "http://unix:/var/run/docker.sock:/info",
                                          "http://127.0.0.1:22/",
                                          "http://127.0.0.1:6379/",
                                          "http://[::]:9200/",
                                          "http://127.0.0.1:0/",
                                          "http://127.0.0.1:99999/",
                                          "http://127.0.0.1:-1/"}) {
    urls.push_back(url);
  }
  return urls;
}

/// Some way inside for every name.
std::vector<std::string> inside_names(const std::string& name) {
  const std::vector<std::string>& all = forbidden_addresses();
  return {all[std::hash<std::string>()(name) % all.size()]};
}

HttpServer::Handler says(const std::string& body) {
  return [body](const HttpServerRequest&, HttpServerConnection& connection) {
    connection.respond(200, body);
  };
}

/// A server that must not be dialled and one that may, on one port of two addresses.
struct ServersOfOnePort {
  std::unique_ptr<HttpServer> inside;
  std::unique_ptr<HttpServer> outside;
};

ServersOfOnePort servers_of_one_port() {
  for (int trial = 0;; ++trial) {
    auto inside = std::make_unique<HttpServer>(says("secret"), "127.0.0.1");
    try {
      auto outside = std::make_unique<HttpServer>(says("picture"), "127.0.0.2", inside->port());
      return {std::move(inside), std::move(outside)};
    } catch (const std::runtime_error&) {
      if (trial == 20) throw;  // another program had the port there: a next one then
    }
  }
}

bool is_refusal(ErrorCode code) {
  return code == ErrorCode::kForbidden || code == ErrorCode::kInvalidArgument;
}

TEST(Ssrf, NothingForbiddenIsDialled) {
  const HttpServer inside(says("secret"));
  const FakeNames names(inside_names);
  const std::vector<std::string> urls = hostile_urls(inside.port());
  ASSERT_GE(std::set(urls.begin(), urls.end()).size(), 150U);
  FetchOptions options;
  options.deadline = std::chrono::seconds(2);
  const Fetcher fetcher(options);
  dialled_addresses();
  for (const std::string& url : urls) {
    try {
      fetcher.fetch(url);
      ADD_FAILURE() << "fetched: " << url;
    } catch (const Error& error) {
      EXPECT_TRUE(is_refusal(error.code())) << url << ": " << error.what();
    }
    for (const std::string& address : dialled_addresses()) {
      ADD_FAILURE() << url << " dialled " << address;
    }
  }
  EXPECT_EQ(inside.connections(), 0);
}

TEST(Ssrf, NothingForbiddenIsDialledThroughRedirects) {
  const HttpServer inside(says("secret"));
  std::string target;
  const HttpServer outside(
      [&](const HttpServerRequest&, HttpServerConnection& connection) {
        connection.respond(302, "", "Location: " + target + "\r\n");
      },
      "127.0.0.2");
  const FakeNames names(inside_names);
  FetchOptions options;
  options.deadline = std::chrono::seconds(2);
  options.allowed_networks = {"127.0.0.2"};  // stands for a public address
  const Fetcher fetcher(options);
  for (const std::string& url : hostile_urls(inside.port())) {
    // A relative target or a broken header stays with the server and ends at the redirect limit.
    if (url.find_first_of("\r\n") != std::string::npos) continue;
    target = url;
    dialled_addresses();
    EXPECT_THROW(fetcher.fetch(outside.url("/")), Error) << url;
    for (const std::string& address : dialled_addresses()) {
      EXPECT_EQ(address, "127.0.0.2") << url;
    }
  }
  EXPECT_EQ(inside.connections(), 0);
  EXPECT_GT(outside.requests().size(), 150U);
}

TEST(Ssrf, EveryAddressOfANameIsChecked) {
  const HttpServer inside(says("secret"));
  for (const std::string& address : forbidden_addresses()) {
    const FakeNames names([&](const std::string&) { return std::vector<std::string>{address}; });
    dialled_addresses();
    try {
      fetch("http://innocent.example:" + std::to_string(inside.port()) + "/", {});
      ADD_FAILURE() << address;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kForbidden) << address << ": " << error.what();
      // The answer must not map the network inside.
      EXPECT_EQ(std::string(error.what()).find(address), std::string::npos);
    }
    EXPECT_TRUE(dialled_addresses().empty()) << address;
  }
  EXPECT_EQ(inside.connections(), 0);
}

TEST(Ssrf, ANameThatRebindsIsRefused) {
  const HttpServer inside(says("secret"), "127.0.0.1");
  const HttpServer outside(
      [&](const HttpServerRequest&, HttpServerConnection& connection) {
        // Another port, so that a new connection is needed.
        connection.respond(302, "",
                           "Connection: close\r\nLocation: http://flips.example:" +
                               std::to_string(inside.port()) + "/\r\n");
        connection.close();
      },
      "127.0.0.2");
  int asked = 0;
  const FakeNames names([&](const std::string&) {
    return std::vector<std::string>{asked++ == 0 ? "127.0.0.2" : "127.0.0.1"};
  });
  FetchOptions options;
  options.allowed_networks = {"127.0.0.2"};
  dialled_addresses();
  try {
    fetch("http://flips.example:" + std::to_string(outside.port()) + "/", options);
    ADD_FAILURE() << "fetched";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kForbidden) << error.what();
  }
  EXPECT_EQ(dialled_addresses(), (std::vector<std::string>{"127.0.0.2"}));
  EXPECT_EQ(asked, 2);
  EXPECT_EQ(inside.connections(), 0);
}

TEST(Ssrf, EachFetchLooksAtTheAddressAnew) {
  const auto [inside, outside] = servers_of_one_port();
  int asked = 0;
  const FakeNames names([&](const std::string&) {
    return std::vector<std::string>{asked++ == 0 ? "127.0.0.2" : "127.0.0.1"};
  });
  const std::string url = "http://flips.example:" + std::to_string(inside->port()) + "/";
  FetchOptions options;
  options.allowed_networks = {"127.0.0.2"};
  EXPECT_EQ(fetch(url, options).size(), 7U);
  EXPECT_THROW(fetch(url, options), Error);
  EXPECT_EQ(inside->connections(), 0);
}

TEST(Ssrf, AGoodAddressBesideABadOneIsUsed) {
  const auto [inside, outside] = servers_of_one_port();
  const FakeNames names([](const std::string&) {
    return std::vector<std::string>{"127.0.0.1", "127.0.0.2"};
  });
  FetchOptions options;
  options.allowed_networks = {"127.0.0.2"};
  EXPECT_EQ(fetch("http://two.example:" + std::to_string(inside->port()) + "/", options).size(),
            7U);
  EXPECT_EQ(inside->connections(), 0);
}

TEST(Ssrf, TheEnvironmentsProxyIsNotUsed) {
  const HttpServer proxy(says("from the proxy"), "127.0.0.1");
  const HttpServer outside(says("picture"), "127.0.0.2");
  const std::map<std::string, std::string> variables = {{"http_proxy", proxy.url()},
                                                        {"HTTP_PROXY", proxy.url()},
                                                        {"all_proxy", proxy.url()},
                                                        {"ALL_PROXY", proxy.url()}};
  for (const auto& [name, value] : variables) ::setenv(name.c_str(), value.c_str(), 1);
  FetchOptions options;
  options.allowed_networks = {"127.0.0.2"};
  EXPECT_EQ(fetch(outside.url(), options).size(), 7U);
  for (const auto& [name, value] : variables) ::unsetenv(name.c_str());
  EXPECT_EQ(proxy.connections(), 0);
}

}  // namespace
}  // namespace itemcrop::fetch
