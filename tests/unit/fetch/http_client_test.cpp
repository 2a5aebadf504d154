#include "fetch/http_client.h"

#include <chrono>
#include <stdexcept>
#include <thread>

#include <gtest/gtest.h>

#include "support/expect_error.h"
#include "support/http_server.h"

namespace itemcrop::fetch {
namespace {

using namespace std::chrono_literals;
using namespace test;

/// Says what it was asked.
void echo(const HttpServerRequest& request, HttpServerConnection& connection) {
  connection.respond(
      200,
      request.method == "HEAD" ? "" : request.method + " " + request.target + " " + request.body,
      "X-Twice: one\r\nX-TWICE: two\r\n");
}

HttpRequest request_to(const std::string& url) {
  HttpRequest request;
  request.url = url;
  request.deadline = 5s;
  return request;
}

TEST(HttpClient, SendsAnyMethodWithHeadersAndBody) {
  const HttpServer server(echo);
  const HttpClient client;
  for (const char* method : {"GET", "POST", "PUT", "DELETE", "PATCH"}) {
    HttpRequest request = request_to(server.url("/x"));
    request.method = method;
    request.headers = {{"X-Id", "7"}, {"X-Empty", ""}};
    if (request.method != "GET") request.body = std::string("a\0b", 3);
    const HttpResponse response = client.send(request);
    EXPECT_EQ(response.status, 200);
    EXPECT_EQ(response.body, std::string(method) + " /x " + request.body);
    EXPECT_EQ(response.header("x-twice"), "two");
  }
  HttpRequest head = request_to(server.url("/x"));
  head.method = "HEAD";
  EXPECT_EQ(client.send(head).status, 200);
  const auto requests = server.requests();
  ASSERT_EQ(requests.size(), 6U);
  EXPECT_EQ(requests[1].headers.at("x-id"), "7");
  EXPECT_EQ(requests[1].headers.at("x-empty"), "");
  EXPECT_FALSE(requests[1].headers.contains("content-type"));
  EXPECT_FALSE(requests[1].headers.contains("expect"));
  EXPECT_EQ(requests[5].method, "HEAD");
  EXPECT_EQ(server.connections(), 1);
}

TEST(HttpClient, SendsBytesWithoutCopyingThem) {
  const HttpServer server(echo);
  const std::string bytes(300'000, 'x');
  HttpRequest request = request_to(server.url("/x"));
  request.method = "PUT";
  request.body_view = std::as_bytes(std::span(bytes));
  EXPECT_EQ(HttpClient().send(request).body, "PUT /x " + bytes);
}

TEST(HttpClient, AnyStatusIsAnAnswerAndRedirectsAreNotFollowed) {
  const HttpServer server([](const HttpServerRequest&, HttpServerConnection& connection) {
    connection.respond(302, "moved", "Location: /there\r\n");
  });
  const HttpResponse response = HttpClient().send(request_to(server.url("/here")));
  EXPECT_EQ(response.status, 302);
  EXPECT_EQ(response.body, "moved");
  EXPECT_EQ(response.redirect_url, server.url("/there"));
  EXPECT_FALSE(response.ok());
}

TEST(HttpClient, StreamsGoodAnswersOnly) {
  const HttpServer server([](const HttpServerRequest& request, HttpServerConnection& connection) {
    connection.respond(request.target == "/good" ? 206 : 500, std::string(200'000, 'x'));
  });
  const HttpClient client;
  std::size_t taken = 0;
  HttpRequest request = request_to(server.url("/good"));
  request.on_body = [&](const HttpResponse& head, std::span<const std::byte> piece) {
    EXPECT_EQ(head.status, 206);
    EXPECT_EQ(head.header("content-length"), "200000");
    taken += piece.size();
  };
  EXPECT_TRUE(client.send(request).body.empty());
  EXPECT_EQ(taken, 200'000U);
  request.url = server.url("/bad");
  EXPECT_EQ(client.send(request).body.size(), 200'000U);
  EXPECT_EQ(taken, 200'000U);

  request.url = server.url("/good");
  request.on_body = [](const HttpResponse&, std::span<const std::byte>) {
    throw std::runtime_error("disk full");
  };
  EXPECT_THROW(client.send(request), std::runtime_error);
}

TEST(HttpClient, LimitsTheAnswerAndTheTime) {
  const HttpServer server([](const HttpServerRequest& request, HttpServerConnection& connection) {
    if (request.target == "/hang") {
      connection.wait_for_end(5000);
      connection.close();
    } else if (request.target == "/drip") {
      connection.send("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
      for (int i = 0; i < 5; ++i) {
        connection.send("x");
        std::this_thread::sleep_for(50ms);
      }
      connection.wait_for_end(5000);
      connection.close();
    } else {
      connection.respond(200, std::string(1001, 'x'));
    }
  });
  const HttpClient client;
  HttpRequest request = request_to(server.url("/"));
  request.max_response_bytes = 1001;
  EXPECT_EQ(client.send(request).body.size(), 1001U);
  request.max_response_bytes = 1000;
  expect_error(ErrorCode::kLimitExceeded, "more than 1000 bytes", [&] { client.send(request); });

  request = request_to(server.url("/hang"));
  request.deadline = 200ms;
  expect_error(ErrorCode::kDeadlineExceeded, "'127.0.0.1' did not answer within 200 ms",
               [&] { client.send(request); });

  request = request_to(server.url("/drip"));
  request.deadline = 0ms;
  request.stall = 1000ms;
  const auto start = std::chrono::steady_clock::now();
  expect_error(ErrorCode::kDeadlineExceeded, "sent nothing for 1000 ms",
               [&] { client.send(request); });
  EXPECT_LT(std::chrono::steady_clock::now() - start, 4s);

  std::stop_source stop;
  stop.request_stop();
  expect_error(ErrorCode::kCancelled, "cancelled",
               [&] { client.send(request_to(server.url("/hang")), stop.get_token()); });
}

TEST(HttpClient, RefusesWhatWouldSmuggle) {
  const HttpServer server(echo);
  const HttpClient client;
  const auto refuses = [&](auto change) {
    HttpRequest request = request_to(server.url("/"));
    change(request);
    EXPECT_THROW(client.send(request), Error);
  };
  refuses([](HttpRequest& r) { r.headers = {{"X", "a\r\nY: b"}}; });
  refuses([](HttpRequest& r) { r.headers = {{"X: y", "a"}}; });
  refuses([](HttpRequest& r) { r.headers = {{"", "a"}}; });
  refuses([](HttpRequest& r) { r.method = "GET / HTTP/1.1\r\n"; });
  refuses([](HttpRequest& r) { r.url = "file:///etc/passwd"; });
  refuses([](HttpRequest& r) { r.url = "not a url"; });
  EXPECT_EQ(server.connections(), 0);
}

TEST(HttpClient, ErrorsNameTheHostOnly) {
  HttpRequest request = request_to("http://127.0.0.1:1/secret-path?token=hidden");
  request.headers = {{"Authorization", "Bearer hidden"}};
  try {
    HttpClient().send(request);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUnavailable);
    EXPECT_EQ(std::string(error.what()).find("hidden"), std::string::npos);
    EXPECT_EQ(std::string(error.what()).find("secret"), std::string::npos);
  }
}

TEST(HttpClient, ServesManyThreads) {
  const HttpServer server(echo);
  const HttpClient client;
  std::vector<std::jthread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 20; ++i) {
        HttpRequest request = request_to(server.url("/x"));
        request.method = "POST";
        request.body = std::to_string(100 * t + i);
        EXPECT_EQ(client.send(request).body, "POST /x " + request.body);
      }
    });
  }
}

// The two requests whose signatures Amazon publishes ("Signature Calculations for the
// Authorization Header"): what libcurl sends for them must be the same.
class SignatureVectors : public ::testing::Test {
 protected:
  HttpServerRequest send(HttpRequest request) {
    const HttpServer server(echo);
    HttpClientOptions options;
    options.connect_to = {"examplebucket.s3.amazonaws.com:80:127.0.0.1:" +
                          std::to_string(server.port())};
    request.aws = AwsCredentials{"us-east-1", "s3", "AKIAIOSFODNN7EXAMPLE",
                                 "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", ""};
    request.deadline = 5s;
    request.headers.emplace_back("X-Amz-Date", "20130524T000000Z");
    HttpClient(options).send(request);
    return server.requests().at(0);
  }
};

TEST_F(SignatureVectors, GetObject) {
  HttpRequest request;
  request.url = "http://examplebucket.s3.amazonaws.com/test.txt";
  request.headers = {
      {"Range", "bytes=0-9"},
      {"x-amz-content-sha256", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}};
  const std::string sent = send(request).headers.at("authorization");
  EXPECT_TRUE(
      sent.ends_with("Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"))
      << sent;
}

TEST_F(SignatureVectors, PutObject) {
  HttpRequest request;
  request.method = "PUT";
  request.url = "http://examplebucket.s3.amazonaws.com/test%24file.text";
  request.body = "Welcome to Amazon S3.";
  request.headers = {
      {"Date", "Fri, 24 May 2013 00:00:00 GMT"},
      {"x-amz-storage-class", "REDUCED_REDUNDANCY"},
      {"x-amz-content-sha256", "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072"}};
  const HttpServerRequest sent = send(request);
  EXPECT_EQ(sent.body, "Welcome to Amazon S3.");
  EXPECT_TRUE(sent.headers.at("authorization")
                  .ends_with("Signature="
                             "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"))
      << sent.headers.at("authorization");
}

TEST(OriginOf, DecidesWhoSharesCredentials) {
  EXPECT_EQ(origin_of("https://hub.example/a"), "https://hub.example:443");
  EXPECT_EQ(origin_of("https://hub.example:443"), origin_of("https://HUB.example/b?c"));
  EXPECT_NE(origin_of("https://hub.example/"), origin_of("http://hub.example/"));
  EXPECT_NE(origin_of("https://hub.example/"), origin_of("https://hub.example.evil/"));
  EXPECT_EQ(origin_of("file:///x"), "");
}

}  // namespace
}  // namespace itemcrop::fetch
