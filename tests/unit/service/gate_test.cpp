#include "service/requests/gate.h"

#include <thread>

#include <gtest/gtest.h>

#include "service/requests/failure.h"

namespace itemcrop::service {
namespace {

http::Request with(std::vector<http::Header> headers, std::string method = "GET") {
  http::Request request;
  request.method = std::move(method);
  request.headers = std::move(headers);
  return request;
}

int status_of(const Gate& gate, const http::Request& request) {
  try {
    gate.authenticate(request);
  } catch (const Failure& failure) {
    return failure.status();
  }
  return 200;
}

TEST(Keys, AreNeededOnlyWhereThereAreSome) {
  EXPECT_EQ(Gate(Settings{}).authenticate(with({})), "");
  Settings settings;
  settings.api_keys = {"first-key", "second-key"};
  const Gate gate(settings);
  EXPECT_EQ(status_of(gate, with({})), 401);
  EXPECT_EQ(status_of(gate, with({{"Authorization", "Basic abc"}})), 401);
  EXPECT_EQ(status_of(gate, with({{"Authorization", "Bearer wrong-key"}})), 403);
  EXPECT_EQ(status_of(gate, with({{"X-API-Key", "first-ke"}})), 403);
  EXPECT_EQ(status_of(gate, with({{"authorization", "bearer first-key"}})), 200);
  EXPECT_EQ(status_of(gate, with({{"X-API-Key", "second-key"}})), 200);
  EXPECT_NE(gate.authenticate(with({{"X-API-Key", "first-key"}})),
            gate.authenticate(with({{"X-API-Key", "second-key"}})));
}

TEST(Rates, AreKeptForEachCallerAlone) {
  Settings settings;
  settings.rate_limit = 20;
  settings.rate_burst = 3;
  Gate gate(settings);
  for (int i = 0; i < 3; ++i) gate.spend("a");
  EXPECT_THROW(gate.spend("a"), Failure);
  gate.spend("b");
  std::this_thread::sleep_for(std::chrono::milliseconds(60));
  gate.spend("a");
}

std::string allowed_origin(const Gate& gate, const std::string& origin) {
  for (const auto& [name, value] : gate.cors_headers(with({{"Origin", origin}}))) {
    if (name == "Access-Control-Allow-Origin") return value;
  }
  return "none";
}

TEST(Origins, AreOpenOnLoopbackAndClosedOtherwise) {
  Settings settings;
  EXPECT_EQ(allowed_origin(Gate(settings), "https://a.example"), "*");
  settings.host = "0.0.0.0";
  EXPECT_EQ(allowed_origin(Gate(settings), "https://a.example"), "none");
  settings.cors_origins = {"https://a.example"};
  EXPECT_EQ(allowed_origin(Gate(settings), "https://a.example"), "https://a.example");
  EXPECT_EQ(allowed_origin(Gate(settings), "https://b.example"), "none");
  settings.cors_origins = {"*"};
  EXPECT_EQ(allowed_origin(Gate(settings), "https://b.example"), "*");
}

TEST(BaseUrl, FollowsTheHostUnlessItIsSet) {
  Settings settings;
  EXPECT_EQ(base_url_of(with({{"Host", "crops.example:81"}}), settings), "http://crops.example:81");
  EXPECT_EQ(base_url_of(with({{"Host", "a/../<b>"}}), settings), "http://127.0.0.1:8000");
  settings.public_url = "https://cdn.example/crops/";
  EXPECT_EQ(base_url_of(with({{"Host", "x"}}), settings), "https://cdn.example/crops");
}

}  // namespace
}  // namespace itemcrop::service
