#include "fetch/fetch.h"

#include <chrono>
#include <thread>

#include <gtest/gtest.h>

#include "network_spy.h"
#include "support/expect_error.h"
#include "support/http_server.h"

namespace itemcrop::fetch {
namespace {

using namespace std::chrono_literals;
using namespace test;

using Clock = std::chrono::steady_clock;

FetchOptions local_options() {
  FetchOptions options;
  options.allow_private = true;
  options.deadline = 5s;
  return options;
}

std::string text_of(const std::vector<std::byte>& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

TEST(Fetch, ReturnsTheBody) {
  const HttpServer server([](const HttpServerRequest& request, HttpServerConnection& connection) {
    connection.respond(200, request.method + " " + request.target);
  });
  EXPECT_EQ(text_of(fetch(server.url("/a.jpg?x=1#y"), local_options())), "GET /a.jpg?x=1");
  const auto requests = server.requests();
  ASSERT_EQ(requests.size(), 1U);
  EXPECT_EQ(requests[0].headers.at("accept-encoding"), "identity");
  EXPECT_TRUE(requests[0].headers.at("user-agent").starts_with("itemcrop/"));
  EXPECT_FALSE(requests[0].headers.contains("cookie"));
  EXPECT_FALSE(requests[0].headers.contains("authorization"));
}

TEST(Fetch, KeepsConnectionsBetweenCalls) {
  const HttpServer server([](const HttpServerRequest&, HttpServerConnection& connection) {
    connection.respond(200, "x");
  });
  const Fetcher fetcher(local_options());
  for (int i = 0; i < 5; ++i) fetcher.fetch(server.url());
  EXPECT_EQ(server.connections(), 1);
}

TEST(Fetch, StopsAtTheByteLimitToTheByte) {
  bool chunked = false;
  const HttpServer server([&](const HttpServerRequest& request, HttpServerConnection& connection) {
    const std::string body(std::stoul(request.target.substr(1)), 'x');
    if (!chunked) {
      connection.respond(200, body);
      return;
    }
    connection.send("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
    connection.send(body);
    connection.close();
  });
  FetchOptions options = local_options();
  options.max_bytes = 100'000;
  for (const bool announced : {true, false}) {
    chunked = !announced;
    EXPECT_EQ(fetch(server.url("/99999"), options).size(), 99'999U);
    EXPECT_EQ(fetch(server.url("/100000"), options).size(), 100'000U);
    expect_error(ErrorCode::kLimitExceeded, "max_bytes = 100000",
                 [&] { fetch(server.url("/100001"), options); });
  }
}

TEST(Fetch, AnnouncedLengthIsRefusedBeforeTheBody) {
  const HttpServer server([](const HttpServerRequest&, HttpServerConnection& connection) {
    connection.send("HTTP/1.1 200 OK\r\nContent-Length: 20000001\r\n\r\n");
    connection.wait_for_end(5000);
    connection.close();
  });
  const auto start = Clock::now();
  expect_error(ErrorCode::kLimitExceeded, "max_bytes = 20000000",
               [&] { fetch(server.url(), local_options()); });
  EXPECT_LT(Clock::now() - start, 2s);
}

TEST(Fetch, AnEndlessBodyStopsAtTheLimit) {
  const HttpServer server([](const HttpServerRequest&, HttpServerConnection& connection) {
    connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    const std::string chunk = "10000\r\n" + std::string(0x10000, 'x') + "\r\n";
    while (connection.send(chunk)) {
    }
  });
  FetchOptions options = local_options();
  options.max_bytes = 3'000'000;
  const auto start = Clock::now();
  expect_error(ErrorCode::kLimitExceeded, "max_bytes", [&] { fetch(server.url(), options); });
  EXPECT_LT(Clock::now() - start, 3s);
}

TEST(Fetch, ASlowBodyStopsAtTheDeadline) {
  const HttpServer server([](const HttpServerRequest&, HttpServerConnection& connection) {
    connection.send("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
    while (connection.send("x") && !connection.wait_for_end(20)) {
    }
    connection.close();
  });
  FetchOptions options = local_options();
  options.deadline = 300ms;
  const auto start = Clock::now();
  expect_error(ErrorCode::kDeadlineExceeded, "deadline = 300 ms",
               [&] { fetch(server.url(), options); });
  EXPECT_GE(Clock::now() - start, 300ms);
  EXPECT_LT(Clock::now() - start, 800ms);
}

TEST(Fetch, OneDeadlineForAllRedirects) {
  const HttpServer server([](const HttpServerRequest&, HttpServerConnection& connection) {
    std::this_thread::sleep_for(150ms);
    connection.respond(302, "", "Location: /again\r\n");
  });
  FetchOptions options = local_options();
  options.deadline = 400ms;
  options.max_redirects = 20;
  const auto start = Clock::now();
  expect_error(ErrorCode::kDeadlineExceeded, "400 ms", [&] { fetch(server.url(), options); });
  EXPECT_LT(Clock::now() - start, 900ms);
}

TEST(Fetch, AHangingNameServerStopsAtTheDeadline) {
  const test::FakeNames names([](const std::string&) {
    std::this_thread::sleep_for(1500ms);
    return std::vector<std::string>{};
  });
  FetchOptions options;
  options.deadline = 200ms;
  const auto start = Clock::now();
  expect_error(ErrorCode::kDeadlineExceeded, "slow.example",
               [&] { fetch("http://slow.example/", options); });
  EXPECT_LT(Clock::now() - start, 900ms);
  std::this_thread::sleep_for(1500ms);  // its thread ends before the fake does
}

TEST(Fetch, StopsWhenNobodyWaitsAnyMore) {
  const HttpServer server([](const HttpServerRequest&, HttpServerConnection& connection) {
    connection.wait_for_end(5000);
    connection.close();
  });
  std::stop_source stop;
  const std::jthread canceller([&] {
    std::this_thread::sleep_for(100ms);
    stop.request_stop();
  });
  const auto start = Clock::now();
  expect_error(ErrorCode::kCancelled, "cancelled",
               [&] { fetch(server.url(), local_options(), stop.get_token()); });
  EXPECT_LT(Clock::now() - start, 600ms);
}

TEST(Fetch, FollowsRedirectsUpToTheLimit) {
  const HttpServer server([](const HttpServerRequest& request, HttpServerConnection& connection) {
    const int left = std::stoi(request.target.substr(1));
    if (left == 0) {
      connection.respond(200, "there");
    } else {
      connection.respond(left % 2 == 0 ? 301 : 307, std::string(1000, '-'),
                         "Location: " + std::to_string(left - 1) + "\r\n");
    }
  });
  EXPECT_EQ(text_of(fetch(server.url("/3"), local_options())), "there");
  expect_error(ErrorCode::kBadImageUrl, "max_redirects = 3",
               [&] { fetch(server.url("/4"), local_options()); });
  FetchOptions none = local_options();
  none.max_redirects = 0;
  expect_error(ErrorCode::kBadImageUrl, "max_redirects = 0",
               [&] { fetch(server.url("/1"), none); });
}

TEST(Fetch, AllowedHostsHoldForRedirectsToo) {
  const HttpServer server([](const HttpServerRequest& request, HttpServerConnection& connection) {
    const std::string port =
        request.headers.at("host").substr(request.headers.at("host").find(':'));
    if (request.target == "/inside") {
      connection.respond(302, "", "Location: http://b.cdn.example" + port + "/x\r\n");
    } else if (request.target == "/outside") {
      connection.respond(302, "", "Location: http://evil.example" + port + "/x\r\n");
    } else {
      connection.respond(200, "x");
    }
  });
  const test::FakeNames names(
      [](const std::string&) { return std::vector<std::string>{"127.0.0.1"}; });
  FetchOptions options = local_options();
  options.allowed_hosts = {"img.example", ".cdn.example"};
  const std::string port = ":" + std::to_string(server.port());
  EXPECT_EQ(fetch("http://img.example" + port + "/x", options).size(), 1U);
  EXPECT_EQ(fetch("http://img.example" + port + "/inside", options).size(), 1U);
  expect_error(ErrorCode::kForbidden, "'evil.example' is not in allowed_hosts",
               [&] { fetch("http://img.example" + port + "/outside", options); });
  expect_error(ErrorCode::kForbidden, "'cdn.example' is not in allowed_hosts",
               [&] { fetch("http://cdn.example" + port + "/", options); });
}

TEST(Fetch, PortsAreLimited) {
  expect_error(ErrorCode::kForbidden, "port 22 may not",
               [] { fetch("http://127.0.0.1:22/", local_options()); });
  FetchOptions options = local_options();
  options.allowed_ports = {443};
  expect_error(ErrorCode::kForbidden, "port 80 may not",
               [&] { fetch("http://127.0.0.1/", options); });
}

TEST(Fetch, SaysWhatWentWrong) {
  const HttpServer server([](const HttpServerRequest& request, HttpServerConnection& connection) {
    if (request.target.starts_with("/status/")) {
      connection.respond(std::stoi(request.target.substr(8)), "no");
    }
    if (request.target == "/204") connection.send("HTTP/1.1 204 No\r\n\r\n");
    if (request.target == "/nowhere") connection.respond(302, "");
    if (request.target == "/gzip") connection.respond(200, "x", "Content-Encoding: gzip\r\n");
    if (request.target == "/short") {
      connection.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
      connection.close();
    }
    if (request.target == "/garbage") {
      connection.send("\x01\x02 not http\r\n\r\n");
      connection.close();
    }
    if (request.target == "/headers") {
      connection.send("HTTP/1.1 200 OK\r\n");
      while (connection.send("X-Flood: " + std::string(1000, 'x') + "\r\n")) {
      }
    }
    if (request.target == "/interim") {
      while (connection.send("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n")) {
      }
    }
  });
  const auto fails = [&](ErrorCode code, const std::string& path, const std::string& part) {
    expect_error(code, part, [&] { fetch(server.url(path), local_options()); });
  };
  // These will be the same the next time.
  fails(ErrorCode::kBadImageUrl, "/status/404", "'127.0.0.1' answered with status 404");
  for (const char* status : {"401", "403", "410", "451"}) {
    fails(ErrorCode::kBadImageUrl, std::string("/status/") + status, status);
  }
  fails(ErrorCode::kBadImageUrl, "/204", "status 204");
  fails(ErrorCode::kBadImageUrl, "/nowhere", "status 302");
  fails(ErrorCode::kBadImageUrl, "/gzip", "compressed");
  // These may not.
  for (const char* status : {"408", "425", "429", "500", "502", "503", "504"}) {
    fails(ErrorCode::kUnavailable, std::string("/status/") + status, status);
  }
  fails(ErrorCode::kUnavailable, "/short", "cannot download from host '127.0.0.1'");
  fails(ErrorCode::kUnavailable, "/garbage", "cannot download");
  fails(ErrorCode::kUnavailable, "/headers", "too many headers");
  fails(ErrorCode::kUnavailable, "/interim", "too many headers");
  const test::FakeNames names([](const std::string&) { return std::vector<std::string>{}; });
  expect_error(ErrorCode::kBadImageUrl, "nobody.example",
               [] { fetch("http://nobody.example/", {}); });
}

TEST(Fetch, NothingListensThere) {
  int port = 0;
  { port = HttpServer({}).port(); }
  expect_error(ErrorCode::kUnavailable, "cannot download from host '127.0.0.1'",
               [&] { fetch("http://127.0.0.1:" + std::to_string(port) + "/", local_options()); });
}

TEST(Fetcher, ChecksItsOptions) {
  const auto refuses = [](const std::string& part, auto change) {
    FetchOptions options;
    change(options);
    expect_error(ErrorCode::kInvalidArgument, part, [&] { const Fetcher fetcher(options); });
  };
  refuses("max_bytes", [](FetchOptions& o) { o.max_bytes = 0; });
  refuses("deadline", [](FetchOptions& o) { o.deadline = 0ms; });
  refuses("max_redirects", [](FetchOptions& o) { o.max_redirects = -1; });
  refuses("allowed_ports", [](FetchOptions& o) { o.allowed_ports = {0}; });
  refuses("allowed_networks", [](FetchOptions& o) { o.allowed_networks = {"here"}; });
}

TEST(Fetcher, ServesManyThreads) {
  const HttpServer server([](const HttpServerRequest& request, HttpServerConnection& connection) {
    connection.respond(200, request.target);
  });
  const Fetcher fetcher(local_options());
  std::vector<std::jthread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 20; ++i) {
        const std::string path = "/" + std::to_string(t) + "/" + std::to_string(i);
        EXPECT_EQ(text_of(fetcher.fetch(server.url(path))), path);
      }
    });
  }
}

}  // namespace
}  // namespace itemcrop::fetch
