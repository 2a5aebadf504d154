#include "store/aws_keys.h"

#include <atomic>
#include <chrono>
#include <map>

#include <gtest/gtest.h>

#include "store/s3_store.h"
#include "support/expect_error.h"
#include "support/http_server.h"
#include "support/temporary_folder.h"

namespace itemcrop::store {
namespace {

using namespace std::chrono_literals;
using test::expect_error;
using test::HttpServer;
using test::HttpServerConnection;
using test::HttpServerRequest;
using test::TemporaryFolder;
using Variables = std::map<std::string, std::string>;
using Time = std::chrono::system_clock::time_point;

constexpr const char* kNoMachine = "http://127.0.0.1:1";

/// Options whose clock says 2026-11-30T12:00:00Z unless `now` is given.
AwsKeyChainOptions options_with(Variables variables, std::shared_ptr<Time> now = nullptr) {
  if (!variables.contains("AWS_EC2_METADATA_SERVICE_ENDPOINT")) {
    variables["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = kNoMachine;
  }
  AwsKeyChainOptions options;
  options.variable = [variables](const std::string& name) -> std::optional<std::string> {
    const auto found = variables.find(name);
    return found == variables.end() ? std::nullopt : std::optional(found->second);
  };
  options.metadata_timeout = 500ms;
  options.sts_timeout = 500ms;
  options.now = [now] { return now ? *now : Time(1'796'040'000s); };
  return options;
}

AwsKeys keys_with(const Variables& variables) {
  return AwsKeyChain(options_with(variables)).keys();
}

std::string json_keys(const std::string& id, const std::string& end) {
  return R"({"Code":"Success","AccessKeyId":")" + id +
         R"(","SecretAccessKey":"s","Token":"t","Expiration":")" + end + "\"}";
}

TEST(AwsKeys, ComeFromVariablesThenFromTheProfile) {
  const TemporaryFolder folder;
  std::filesystem::create_directories(folder.path() / ".aws");
  folder.write(
      ".aws/credentials",
      "# mine\n[default]\naws_access_key_id = AKID\naws_secret_access_key=secret\n\n"
      "[other]\naws_access_key_id = OTHER\naws_secret_access_key = s2\naws_session_token = t\n");
  const std::string home = folder.path().string();
  EXPECT_EQ(keys_with({{"HOME", home}}).access_key, "AKID");
  EXPECT_EQ(keys_with({{"HOME", home}}).session_token, "");
  EXPECT_EQ(keys_with({{"HOME", home}, {"AWS_PROFILE", "other"}}).session_token, "t");
  EXPECT_EQ(
      keys_with({{"HOME", home}, {"AWS_ACCESS_KEY_ID", "ENV"}, {"AWS_SECRET_ACCESS_KEY", "s"}})
          .access_key,
      "ENV");
  EXPECT_EQ(keys_with({{"HOME", home}, {"AWS_ACCESS_KEY_ID", "ENV"}}).access_key, "AKID");
  for (const Variables& none : {Variables{}, {{"HOME", home}, {"AWS_PROFILE", "none"}}}) {
    EXPECT_THROW(keys_with(none), RefusedError);
    expect_error(ErrorCode::kUnavailable, "set s3_access_key", [&] { keys_with(none); });
  }
}

TEST(AwsKeys, OfAWebIdentityAreAskedOfSts) {
  const TemporaryFolder folder;
  folder.write("token", "a.b+c\n");
  const HttpServer sts([](const HttpServerRequest&, HttpServerConnection& connection) {
    connection.respond(
        200,
        "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>"
        "<SessionToken>session</SessionToken><SecretAccessKey>secret</SecretAccessKey>"
        "<Expiration>2026-11-30T13:00:00Z</Expiration><AccessKeyId>ASIA</AccessKeyId>"
        "</Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>");
  });
  const AwsKeys keys = keys_with({{"AWS_WEB_IDENTITY_TOKEN_FILE", folder.path() / "token"},
                                  {"AWS_ROLE_ARN", "arn:aws:iam::1:role/crops"},
                                  {"AWS_ENDPOINT_URL_STS", sts.url()}});
  EXPECT_EQ(keys.access_key, "ASIA");
  EXPECT_EQ(keys.secret_key, "secret");
  EXPECT_EQ(keys.session_token, "session");
  const HttpServerRequest asked = sts.requests().front();
  EXPECT_EQ(asked.method, "POST");
  EXPECT_EQ(asked.body,
            "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3A"
            "role%2Fcrops&RoleSessionName=itemcrop&WebIdentityToken=a.b%2Bc");
}

TEST(AwsKeys, OfAContainerNeedItsToken) {
  const TemporaryFolder folder;
  folder.write("token", "pod-token\n");
  const HttpServer agent([](const HttpServerRequest& request, HttpServerConnection& connection) {
    const auto token = request.headers.find("authorization");
    if (token == request.headers.end() || token->second != "pod-token") {
      connection.respond(401, "no");
    } else {
      connection.respond(200, json_keys("POD", "2026-11-30T13:00:00Z"));
    }
  });
  Variables variables{{"AWS_CONTAINER_CREDENTIALS_FULL_URI", agent.url("/v1/credentials")},
                      {"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", folder.path() / "token"}};
  EXPECT_EQ(keys_with(variables).access_key, "POD");
  EXPECT_EQ(keys_with(variables).session_token, "t");
  variables["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"].clear();
  variables["AWS_CONTAINER_AUTHORIZATION_TOKEN"] = "wrong-token";
  EXPECT_THROW(keys_with(variables), RefusedError);
  variables["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = "http://elsewhere.example/credentials";
  expect_error(ErrorCode::kUnavailable, "must be https", [&] { keys_with(variables); });
}

TEST(AwsKeys, OfAMachineComeFromItsMetadataByASession) {
  const HttpServer machine([](const HttpServerRequest& request, HttpServerConnection& connection) {
    if (request.method == "PUT" && request.target == "/latest/api/token") {
      connection.respond(200, "a-session");
      return;
    }
    const auto session = request.headers.find("x-aws-ec2-metadata-token");
    const std::string folder = "/latest/meta-data/iam/security-credentials/";
    if (session == request.headers.end() || session->second != "a-session") {
      connection.respond(401, "version 2 only");
    } else if (request.target == folder) {
      connection.respond(200, "crops-role\n");
    } else if (request.target == folder + "crops-role") {
      connection.respond(200, json_keys("MACHINE", "2026-11-30T13:00:00Z"));
    } else {
      connection.respond(404, "");
    }
  });
  Variables variables{{"AWS_EC2_METADATA_SERVICE_ENDPOINT", machine.url()}};
  EXPECT_EQ(keys_with(variables).access_key, "MACHINE");
  variables["AWS_EC2_METADATA_DISABLED"] = "true";
  EXPECT_THROW(keys_with(variables), RefusedError);
}

TEST(AwsKeys, AServiceThatHangsEndsWithItsTimeout) {
  const HttpServer hangs([](const HttpServerRequest&, HttpServerConnection& connection) {
    connection.wait_for_end(5000);
    connection.close();
  });
  const auto started = std::chrono::steady_clock::now();
  EXPECT_THROW(keys_with({{"AWS_EC2_METADATA_SERVICE_ENDPOINT", hangs.url()}}), RefusedError);
  EXPECT_LT(std::chrono::steady_clock::now() - started, 4s);
}

TEST(AwsKeys, AreRenewedBeforeTheyEndAndUsedToTheirEnd) {
  std::atomic<int> asked = 0;
  std::atomic<bool> fails = false;
  const HttpServer agent([&](const HttpServerRequest&, HttpServerConnection& connection) {
    ++asked;
    if (fails) {
      connection.respond(503, "");
    } else {
      connection.respond(200, json_keys("POD" + std::to_string(asked), "2026-11-30T13:00:00Z"));
    }
  });
  // 2026-11-30T12:00:00Z
  const auto now = std::make_shared<Time>(std::chrono::sys_days{2026y / 11 / 30} + 12h);
  AwsKeyChain chain(options_with({{"AWS_CONTAINER_CREDENTIALS_FULL_URI", agent.url("/x")}}, now));
  EXPECT_EQ(chain.keys().access_key, "POD1");
  *now += 54min;
  EXPECT_EQ(chain.keys().access_key, "POD1") << "they hold";
  *now += 2min;
  fails = true;
  EXPECT_EQ(chain.keys().access_key, "POD1") << "they hold still";
  EXPECT_EQ(chain.keys().access_key, "POD1");
  EXPECT_EQ(asked, 2) << "a service that failed is left alone for a while";
  *now += 1min;
  fails = false;
  EXPECT_EQ(chain.keys().access_key, "POD3");
  fails = true;
  *now += 10min;
  expect_error(ErrorCode::kUnavailable, "status 503", [&] { chain.keys(); });
}

TEST(AwsKeys, SignTheRequestsOfABucket) {
  const HttpServer bucket([](const HttpServerRequest&, HttpServerConnection& connection) {
    connection.respond(200, "");
  });
  S3StoreOptions options;
  options.endpoint = bucket.url();
  options.bucket = "crops";
  int asked = 0;
  options.key_source = [&](const std::stop_token&) {
    return AwsKeys{"KEY" + std::to_string(++asked), "secret", "token"};
  };
  S3Store store(options);
  constexpr std::string_view kText = "x";
  store.put("a.jpg", std::as_bytes(std::span(kText)), "image/jpeg");
  store.put("b.jpg", std::as_bytes(std::span(kText)), "image/jpeg");
  EXPECT_NE(bucket.requests()[0].headers.at("authorization").find("KEY1/"), std::string::npos);
  EXPECT_NE(bucket.requests()[1].headers.at("authorization").find("KEY2/"), std::string::npos);
}

}  // namespace
}  // namespace itemcrop::store
