#include "store/s3_store.h"

#include <atomic>
#include <chrono>

#include <gtest/gtest.h>

#include "support/expect_error.h"
#include "support/http_server.h"

namespace itemcrop::store {
namespace {

using namespace std::chrono_literals;
using namespace test;

std::span<const std::byte> body_of(std::string_view text) { return std::as_bytes(std::span(text)); }

S3StoreOptions options_for(const HttpServer& server) {
  S3StoreOptions options;
  options.endpoint = server.url();
  options.bucket = "crops";
  options.access_key = "AKIDEXAMPLE";
  options.secret_key = "very-secret";
  options.retry.first_delay = 1ms;
  return options;
}

HttpServer::Handler always(int status, const std::string& body = {}) {
  return [=](const HttpServerRequest&, HttpServerConnection& connection) {
    connection.respond(status, body);
  };
}

TEST(S3Store, PutsWithHeadersAndGivesThePublicUrl) {
  const HttpServer server(always(200));
  S3StoreOptions options = options_for(server);
  options.endpoint += "/storage/v1/s3/";
  options.prefix = "v1/";
  options.acl = "public-read";
  options.cache_control = "public, max-age=60";
  options.session_token = "session-token";
  options.public_url = "https://cdn.example/{bucket}/{key}?x={key}";
  S3Store store(options);
  EXPECT_EQ(store.put("a/b.jpg", body_of("picture"), "image/jpeg"),
            "https://cdn.example/crops/v1/a/b.jpg?x=v1/a/b.jpg");
  const auto requests = server.requests();
  ASSERT_EQ(requests.size(), 1U);
  const HttpServerRequest& put = requests[0];
  EXPECT_EQ(put.method, "PUT");
  EXPECT_EQ(put.target, "/storage/v1/s3/crops/v1/a/b.jpg");
  EXPECT_EQ(put.body, "picture");
  EXPECT_EQ(put.headers.at("content-type"), "image/jpeg");
  EXPECT_EQ(put.headers.at("cache-control"), "public, max-age=60");
  EXPECT_EQ(put.headers.at("x-amz-acl"), "public-read");
  EXPECT_EQ(put.headers.at("x-amz-security-token"), "session-token");
  // sha256sum of "picture".
  EXPECT_EQ(put.headers.at("x-amz-content-sha256"),
            "2cea274d0bedc39ec4ab6ba9e59ec889e3ed6fb56a1cf088a64d9b383378dc97");
  const std::string& authorization = put.headers.at("authorization");
  EXPECT_NE(authorization.find("Credential=AKIDEXAMPLE/"), std::string::npos);
  for (const char* name :
       {"host", "x-amz-acl", "x-amz-content-sha256", "x-amz-date", "x-amz-security-token"}) {
    EXPECT_NE(authorization.find(name), std::string::npos) << authorization;
  }
}

TEST(S3Store, PathAndVirtualHostStyle) {
  const HttpServer server(always(200));
  S3Store path(options_for(server));
  EXPECT_EQ(path.put("a.jpg", body_of("x"), "image/jpeg"), server.url("/crops/a.jpg"));
  S3StoreOptions options = options_for(server);
  options.endpoint = "http://localhost:" + std::to_string(server.port());
  options.virtual_host = true;
  EXPECT_EQ(S3Store(options).put("a.jpg", body_of("x"), "image/jpeg"),
            "http://crops.localhost:" + std::to_string(server.port()) + "/a.jpg");
  EXPECT_EQ(server.requests().at(1).headers.at("host"),
            "crops.localhost:" + std::to_string(server.port()));
}

TEST(S3Store, TriesPassingFailuresAgain) {
  std::atomic<int> count = 0;
  const HttpServer server([&](const HttpServerRequest&, HttpServerConnection& connection) {
    switch (count++) {
      case 0:
        return (void)connection.respond(503, "<Error><Code>SlowDown</Code></Error>");
      case 1:
        return connection.close();
      case 2:
        connection.wait_for_end(3000);  // hangs until the try's deadline
        return connection.close();
      default:
        connection.respond(200, "");
    }
  });
  S3StoreOptions options = options_for(server);
  options.deadline = 200ms;
  S3Store(options).put("a.jpg", body_of("x"), "image/jpeg");
  EXPECT_EQ(count, 4);
}

TEST(S3Store, TheBudgetEndsRetriesOfAServiceThatIsDown) {
  const HttpServer server(always(500));
  S3StoreOptions options = options_for(server);
  options.retry.max_tries = 4;
  options.retry_budget = 5;
  S3Store store(options);
  for (int i = 0; i < 10; ++i) {
    expect_error(ErrorCode::kUnavailable, "status 500",
                 [&] { store.put("a.jpg", body_of("x"), "image/jpeg"); });
  }
  EXPECT_EQ(server.requests().size(), 10U + 5U);
}

TEST(S3Store, MessagesHoldNoSecrets) {
  const HttpServer server(
      always(403,
             "<Error><Code>SignatureDoesNotMatch</Code><AWSAccessKeyId>AKIDEXAMPLE</AWSAccessKeyId>"
             "<StringToSign>very-secret</StringToSign></Error>"));
  S3Store store(options_for(server));
  try {
    store.put("a.jpg", body_of("x"), "image/jpeg");
    FAIL();
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(),
                 "store: bucket 'crops' answered with status 403 (SignatureDoesNotMatch)");
  }
  EXPECT_EQ(server.requests().size(), 1U) << "a refusal is not tried again";
  const HttpServer odd(always(400, "<Code>very secret</Code>"));
  S3Store other(options_for(odd));
  expect_error(ErrorCode::kUnavailable, "status 400", [&] { other.check(); });
}

TEST(S3Store, StopsWhenNobodyWaits) {
  const HttpServer server(always(503));
  S3StoreOptions options = options_for(server);
  options.retry.first_delay = 10s;
  std::stop_source stop;
  stop.request_stop();
  expect_error(ErrorCode::kCancelled, "cancelled", [&] {
    S3Store(options).put("a.jpg", body_of("x"), "image/jpeg", stop.get_token());
  });
}

TEST(S3Store, ChecksTheBucket) {
  std::string answers;
  const HttpServer server([&](const HttpServerRequest& request, HttpServerConnection& connection) {
    connection.respond(
        request.method == "HEAD" ? std::stoi(answers.substr(0, 3)) : std::stoi(answers.substr(4)),
        "");
  });
  S3Store store(options_for(server));
  answers = "200 500";
  store.check();
  answers = "403 200";  // may put, may not list
  store.check();
  EXPECT_EQ(server.requests().back().target, "/crops/itemcrop-check");
  answers = "403 403";
  expect_error(ErrorCode::kUnavailable, "status 403", [&] { store.check(); });
  answers = "405 200";  // knows no HEAD of a bucket
  store.check();
  answers = "404 404";
  expect_error(ErrorCode::kUnavailable, "bucket 'crops' answered with status 404",
               [&] { store.check(); });
}

TEST(S3Store, ChecksItsOptions) {
  const HttpServer server(always(200));
  const auto refuses = [&](const std::string& part, auto change) {
    S3StoreOptions options = options_for(server);
    change(options);
    expect_error(ErrorCode::kInvalidArgument, part, [&] { S3Store{options}; });
  };
  refuses("endpoint", [](S3StoreOptions& o) { o.endpoint = "minio:9000"; });
  refuses("endpoint", [](S3StoreOptions& o) { o.endpoint = "http://user:secret@minio:9000"; });
  refuses("bucket", [](S3StoreOptions& o) { o.bucket = "a/b"; });
  refuses("bucket", [](S3StoreOptions& o) { o.bucket = ""; });
  refuses("secret key", [](S3StoreOptions& o) { o.secret_key = ""; });
  refuses("region", [](S3StoreOptions& o) { o.region = "eu:1"; });
  refuses("prefix", [](S3StoreOptions& o) { o.prefix = "../"; });
  refuses("public_url", [](S3StoreOptions& o) { o.public_url = "https://cdn/"; });
}

}  // namespace
}  // namespace itemcrop::store
