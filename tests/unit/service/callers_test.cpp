#include <fstream>
#include <map>

#include <gtest/gtest.h>

#include "service/http/http_error.h"
#include "service/requests/authenticator.h"
#include "service/requests/client_address.h"
#include "service/requests/memory_bound.h"
#include "service/requests/origin_policy.h"
#include "service/requests/rate_limiter.h"
#include "support/expect_error.h"
#include "support/temporary_folder.h"

namespace itemcrop::service {
namespace {

using namespace std::chrono_literals;
using test::expect_error;
using test::TemporaryFolder;

http::Request with(std::vector<http::Header> headers, std::string method = "GET") {
  http::Request request;
  request.method = std::move(method);
  request.headers = std::move(headers);
  return request;
}

std::string outcome_of(Authenticator& authenticator, const http::Request& request,
                       const std::string& address = "192.0.2.1") {
  try {
    authenticator.authenticate(request, address);
  } catch (const http::HttpError& error) {
    return std::to_string(error.status());
  } catch (const Error& error) {
    return std::string(to_string(error.code()));
  }
  return "known";
}

TEST(Keys, AreNeededOnlyWhereThereAreSome) {
  EXPECT_EQ(Authenticator(Settings{}).authenticate(with({}), "192.0.2.1"), "");
  Settings settings;
  settings.api_keys = {"first-key", "second-key"};
  Authenticator keys(settings);
  EXPECT_EQ(outcome_of(keys, with({})), "401");
  EXPECT_EQ(outcome_of(keys, with({{"Authorization", "Basic abc"}})), "401");
  EXPECT_EQ(outcome_of(keys, with({{"Authorization", "Bearer wrong-key"}})), "forbidden");
  EXPECT_EQ(outcome_of(keys, with({{"X-API-Key", "first-ke"}})), "forbidden");
  EXPECT_EQ(outcome_of(keys, with({{"authorization", "bearer first-key"}})), "known");
  EXPECT_EQ(outcome_of(keys, with({{"X-API-Key", "second-key"}})), "known");
  EXPECT_NE(keys.authenticate(with({{"X-API-Key", "first-key"}}), "a"),
            keys.authenticate(with({{"X-API-Key", "second-key"}}), "a"));
}

TEST(Keys, WrongOnesSlowTheirAddressDownButNoRightOne) {
  Settings settings;
  settings.api_keys = {"first-key"};
  settings.wrong_keys_per_minute = 3;
  Authenticator keys(settings);
  const auto wrong = with({{"X-API-Key", "guess"}});
  const auto right = with({{"X-API-Key", "first-key"}});
  for (int i = 0; i < 3; ++i) EXPECT_EQ(outcome_of(keys, wrong), "forbidden");
  EXPECT_EQ(outcome_of(keys, wrong), "overloaded");
  EXPECT_EQ(outcome_of(keys, right), "known");
  EXPECT_EQ(outcome_of(keys, wrong), "overloaded");
  EXPECT_EQ(outcome_of(keys, wrong, "192.0.2.2"), "forbidden");
}

TEST(Rates, AreKeptForEachCallerAlone) {
  RateLimiter rates(20, 3);
  const auto now = RateLimiter::Clock::now();
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(rates.try_take("a", now));
  EXPECT_FALSE(rates.try_take("a", now));
  EXPECT_TRUE(rates.try_take("b", now));
  EXPECT_TRUE(rates.try_take("a", now + 60ms));
}

std::string allowed_origin(const Settings& settings, const std::string& origin) {
  for (const auto& [name, value] :
       OriginPolicy(settings).cors_headers(with({{"Origin", origin}}))) {
    if (name == "Access-Control-Allow-Origin") return value;
  }
  return "none";
}

TEST(Origins, MayCallOnlyIfTheyAreListed) {
  Settings settings;
  EXPECT_EQ(allowed_origin(settings, "https://a.example"), "none");
  settings.host = "0.0.0.0";
  EXPECT_EQ(allowed_origin(settings, "https://a.example"), "none");
  settings.cors_origins = {"https://a.example"};
  EXPECT_EQ(allowed_origin(settings, "https://a.example"), "https://a.example");
  EXPECT_EQ(allowed_origin(settings, "https://b.example"), "none");
  settings.cors_origins = {"*"};
  EXPECT_EQ(allowed_origin(settings, "https://b.example"), "*");
}

bool may_send(const Settings& settings, std::vector<http::Header> headers) {
  try {
    OriginPolicy(settings).check_origin(with(std::move(headers), "POST"));
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kForbidden);
    return false;
  }
  return true;
}

TEST(Origins, APageOfAnotherSiteSendsNothing) {
  Settings settings;
  EXPECT_TRUE(may_send(settings, {}));  // no browser
  EXPECT_TRUE(
      may_send(settings, {{"Host", "localhost:8000"}, {"Origin", "http://localhost:8000"}}));
  EXPECT_FALSE(may_send(settings, {{"Host", "localhost:8000"}, {"Origin", "http://localhost:81"}}));
  EXPECT_FALSE(may_send(settings, {{"Host", "localhost"}, {"Origin", "https://evil.example"}}));
  EXPECT_FALSE(may_send(settings, {{"Host", "localhost"}, {"Origin", "null"}}));
  EXPECT_FALSE(may_send(settings, {{"Sec-Fetch-Site", "cross-site"}}));
  EXPECT_FALSE(may_send(settings, {{"Sec-Fetch-Site", "same-site"}}));
  EXPECT_TRUE(may_send(settings, {{"Sec-Fetch-Site", "none"}}));
  EXPECT_TRUE(may_send(settings, {{"Sec-Fetch-Site", "same-origin"}}));
  settings.cors_origins = {"https://app.example"};
  EXPECT_TRUE(may_send(settings, {{"Origin", "https://app.example"}}));
  settings.public_url = "https://crop.example/api/";
  EXPECT_TRUE(may_send(settings, {{"Host", "10.0.0.1"}, {"Origin", "https://crop.example"}}));
}

bool is_host(const Settings& settings, const std::string& host) {
  try {
    OriginPolicy(settings).check_host(with({{"Host", host}}));
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kForbidden);
    return false;
  }
  return true;
}

TEST(Hosts, OnLoopbackAreItsNamesAndThoseThatAreListed) {
  Settings settings;
  for (const char* host : {"localhost", "LocalHost:8000", "localhost.", "127.0.0.1:8000",
                           "127.3.2.1", "[::1]:8000", "::1"}) {
    EXPECT_TRUE(is_host(settings, host)) << host;
  }
  for (const char* host : {"evil.example:8771", "192.168.0.7", "localhost.evil.example", "0.0.0.0",
                           "127.0.0.1.evil.example", "<b>", "[", "[]", "localhost:80:80"}) {
    EXPECT_FALSE(is_host(settings, host)) << host;
  }
  settings.hosts = {"box.lan"};
  settings.public_url = "https://crop.example:8443/x";
  EXPECT_TRUE(is_host(settings, "box.lan:1"));
  EXPECT_TRUE(is_host(settings, "crop.example"));
  EXPECT_FALSE(is_host(settings, "evil.example"));
}

TEST(Hosts, BeyondLoopbackAreAddressesAndNamesOnlyWithKeysOrAList) {
  Settings settings;
  settings.host = "0.0.0.0";
  EXPECT_TRUE(is_host(settings, "192.0.2.7:8000"));
  EXPECT_FALSE(is_host(settings, "evil.example"));
  settings.api_keys = {"first-key"};
  EXPECT_TRUE(is_host(settings, "crop.example"));
  EXPECT_FALSE(is_host(settings, "a/../<b>"));
  settings.public_url = "https://crop.example";
  EXPECT_FALSE(is_host(settings, "evil.example"));
}

std::string base_url(const Settings& settings, const std::string& host,
                     const std::string& local_address = {}) {
  http::Request request = with({{"Host", host}});
  request.local_address = local_address;
  return OriginPolicy(settings).base_url(request);
}

TEST(Hosts, ThatAreNotOursAreInNoUrl) {
  Settings settings;
  EXPECT_EQ(base_url(settings, "localhost:81"), "http://localhost:81");
  EXPECT_EQ(base_url(settings, "[::1]:7"), "http://[::1]:7");
  for (const char* host : {"a/../<b>", "", "localhost:<b>", "[::1]x", "localhost:123456"}) {
    EXPECT_EQ(base_url(settings, host), "") << host;
  }
  settings.public_url = "https://cdn.example/crops/";
  EXPECT_EQ(base_url(settings, "localhost"), "https://cdn.example/crops");
}

TEST(Hosts, ThatNobodyListedAreInNoUrlBeyondLoopback) {
  Settings settings;
  settings.host = "0.0.0.0";
  settings.api_keys = {"first-key"};
  ASSERT_TRUE(is_host(settings, "evil.example"));
  EXPECT_EQ(base_url(settings, "evil.example"), "");
  EXPECT_EQ(base_url(settings, "192.0.2.9:8000", "10.0.0.5"), "");
  EXPECT_EQ(base_url(settings, "10.0.0.5:8000", "10.0.0.5"), "http://10.0.0.5:8000");
  EXPECT_EQ(base_url(settings, "10.0.0.5:8000", "::ffff:10.0.0.5"), "http://10.0.0.5:8000");
  settings.hosts = {"box.lan"};
  EXPECT_EQ(base_url(settings, "Box.lan:81"), "http://Box.lan:81");
}

TEST(Origins, AreCheckedAndTheRightFormIsSaid) {
  EXPECT_EQ(problem_of_origin("https://app.example.com"), "");
  EXPECT_EQ(problem_of_origin("http://localhost:3000"), "");
  EXPECT_EQ(problem_of_origin("*"), "");
  EXPECT_NE(problem_of_origin("app.example.com").find("write 'https://app.example.com'"),
            std::string::npos);
  EXPECT_NE(problem_of_origin("https://app.example.com/").find("write 'https://app.example.com'"),
            std::string::npos);
  EXPECT_NE(problem_of_origin("https://App.example.com").find("'https://app.example.com'"),
            std::string::npos);
  EXPECT_NE(problem_of_origin(""), "");
  EXPECT_NE(problem_of_origin("null"), "");
  EXPECT_NE(problem_of_origin("https://a b"), "");
}

std::string client_of(const std::string& peer, std::vector<http::Header> headers) {
  http::Request request = with(std::move(headers));
  request.remote_address = peer;
  return client_address(request, NetworkList({"10.0.0.0/8", "2001:db8::/32"}, "trusted_proxies"));
}

TEST(ClientAddress, IsThePeersUnlessThatIsATrustedProxy) {
  EXPECT_EQ(client_of("192.0.2.1", {{"X-Forwarded-For", "203.0.113.9"}}), "192.0.2.1");
  EXPECT_EQ(client_of("10.1.2.3", {{"X-Forwarded-For", "203.0.113.9"}}), "203.0.113.9");
  EXPECT_EQ(client_of("::ffff:10.1.2.3", {{"X-Forwarded-For", "203.0.113.9"}}), "203.0.113.9");
  EXPECT_EQ(client_of("2001:db8::7", {{"Forwarded", "for=\"[2a00::1]:80\";proto=https"}}),
            "2a00::1");
}

TEST(ClientAddress, IsTheLastThatNoTrustedProxyWrote) {
  // The first is what the client itself claimed.
  EXPECT_EQ(client_of("10.1.2.3", {{"X-Forwarded-For", "1.1.1.1, 203.0.113.9, 10.9.9.9"}}),
            "203.0.113.9");
  EXPECT_EQ(
      client_of("10.1.2.3", {{"X-Forwarded-For", "1.1.1.1"}, {"X-Forwarded-For", "10.0.0.2"}}),
      "1.1.1.1");
  EXPECT_EQ(client_of("10.1.2.3", {{"X-Forwarded-For", "203.0.113.9, nonsense"}}), "10.1.2.3");
  EXPECT_EQ(client_of("10.1.2.3", {}), "10.1.2.3");
}

TEST(ClientAddress, NetworksAreChecked) {
  for (const char* wrong : {"proxy", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/x", "::/129", ""}) {
    expect_error(ErrorCode::kInvalidArgument, "trusted_proxies",
                 [&] { NetworkList({wrong}, "trusted_proxies"); });
  }
  const NetworkList odd({"10.0.0.0/9", "::1"}, "trusted_proxies");
  EXPECT_TRUE(odd.contains("10.127.0.1"));
  EXPECT_FALSE(odd.contains("10.128.0.1"));
  EXPECT_TRUE(odd.contains("::1"));
  EXPECT_FALSE(odd.contains("unknown"));
}

TEST(ClientAddress, AHostsWholeIpv6NetworkIsOneCaller) {
  EXPECT_EQ(caller_of_address("2a00:1:2:3:4:5:6:7"), caller_of_address("2a00:1:2:3::1"));
  EXPECT_NE(caller_of_address("2a00:1:2:3::1"), caller_of_address("2a00:1:2:4::1"));
  EXPECT_EQ(caller_of_address("192.0.2.1"), "192.0.2.1");
}

TEST(MemoryBound, IsTheSumOfItsPartsAndFollowsTheSettings) {
  Settings settings;
  const std::int64_t before = memory_bound(settings);
  settings.max_buffered_bytes += 1'000'000;
  EXPECT_EQ(memory_bound(settings) - before, 2'000'000);
  EXPECT_LT(memory_bound(Settings{}), 4'294'967'296) << "more than the Kubernetes manifest allows";
}

TEST(MemoryBound, IsHeldAgainstTheContainersLimitAtTheStart) {
  Settings settings;
  const std::int64_t bound = memory_bound(settings);
  EXPECT_NO_THROW(check_memory(settings, std::nullopt));
  EXPECT_NO_THROW(check_memory(settings, bound));
  expect_error(ErrorCode::kInvalidArgument, std::to_string(bound),
               [&] { check_memory(settings, bound - 1); });
  expect_error(ErrorCode::kInvalidArgument, "allow_overcommit",
               [&] { check_memory(settings, bound - 1); });
  settings.allow_overcommit = true;
  EXPECT_NO_THROW(check_memory(settings, bound - 1));
}

void write(const std::filesystem::path& file, const std::string& text) {
  std::filesystem::create_directories(file.parent_path());
  std::ofstream(file) << text;
}

TEST(ContainerMemory, IsTheLeastLimitOfItsGroups) {
  const TemporaryFolder folder;
  EXPECT_EQ(container_memory_limit(folder.path()), std::nullopt);
  write(folder.path() / "proc/self/cgroup", "0::/pods/one\n");
  write(folder.path() / "sys/fs/cgroup/pods/one/memory.max", "max\n");
  EXPECT_EQ(container_memory_limit(folder.path()), std::nullopt);
  write(folder.path() / "sys/fs/cgroup/pods/memory.max", "4294967296\n");
  EXPECT_EQ(container_memory_limit(folder.path()), 4294967296);
  write(folder.path() / "proc/self/cgroup", "4:cpu:/x\n5:memory:/docker/abc\n");
  write(folder.path() / "sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  EXPECT_EQ(container_memory_limit(folder.path()), std::nullopt);
  write(folder.path() / "sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes", "1000000\n");
  EXPECT_EQ(container_memory_limit(folder.path()), 1000000);
}

}  // namespace
}  // namespace itemcrop::service
