#include <algorithm>
#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "image/decode.h"
#include "support/expect_error.h"
#include "taxonomy/vlm_answer.h"
#include "taxonomy/vlm_client.h"

namespace itemcrop::taxonomy {
namespace {

using fetch::HttpRequest;
using fetch::HttpResponse;

using nlohmann::json;
using std::chrono::milliseconds;
using test::expect_error;

std::string body_of(const std::string& text) {
  return json{{"choices", {{{"message", {{"role", "assistant"}, {"content", text}}}}}}}.dump();
}

std::vector<std::string> prompts(const std::vector<ListedItem>& items) {
  std::vector<std::string> list;
  for (const ListedItem& item : items) list.push_back(item.prompt);
  return list;
}
using Prompts = std::vector<std::string>;

TEST(VlmAnswer, ReadsWhatWasAskedFor) {
  const std::vector<ListedItem> items = parse_vlm_answer(body_of(
      R"({"items":[{"category":"tops","prompt":"navy blazer","description":"A navy blazer."}]})"));
  ASSERT_EQ(items.size(), 1U);
  EXPECT_EQ(items[0].category, "tops");
  EXPECT_EQ(items[0].prompt, "navy blazer");
  EXPECT_EQ(items[0].description, "A navy blazer.");
}

TEST(VlmAnswer, ReadsWhatModelsReallySay) {
  const std::string item = R"({"prompt":"hat"})";
  const std::vector<std::string> texts = {
      "[" + item + "]",
      "```json\n[" + item + "]\n```",
      "Sure [1]! Here is {what} you want:\n```\n{\"items\": [" + item + "]}\n```\nAnything else?",
      "{\"garments\": [" + item + "], \"items\": \"none\"}",
      "{\"note\": \"}]\", \"list\": [" + item + "]}",
      item,
      "[\"hat\"]",
      "{\"items\": [7, null, {}, {\"prompt\": 3}, [], {\"prompt\": \" \"}, " + item + "]}",
      "{\"items\": [{\"name\": \"hat\"}]}",
      "{\"items\": [{\"prompt\": \"h\\u0000at\"}]}",
      "{\"items\": [{\"prompt\": \" hat. \"}]}",
      "{ broken [" + item + "]",
  };
  for (const std::string& text : texts) {
    SCOPED_TRACE(text);
    const Prompts found = prompts(parse_item_list(text));
    ASSERT_EQ(found.size(), 1U);
    EXPECT_EQ(found[0], text.find("\\u0000") == std::string::npos ? "hat" : "h at");
  }
  // Content as parts.
  EXPECT_EQ(prompts(parse_vlm_answer(
                R"({"choices":[{"message":{"content":[{"type":"text","text":"[\"hat\"]"},3]}}]})")),
            Prompts{"hat"});
}

TEST(VlmAnswer, TextsArePlain) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"a <b>navy</b> blazer", "a navy blazer"},
      {"<script>alert(1)</script>hat", "alert(1) hat"},
      {"<img src=x onerror=alert(1)>hat", "hat"},
      {"hat <!-- hidden --> and scarf", "hat and scarf"},
      {"3 < 4 and 5 > 4", "3 4 and 5 4"},
      {"<not closed hat", "not closed hat"},
      {"**bold** and `code`", "bold and code"},
      {"a [hat](javascript:alert(1)) here", "a hat ) here"},
      {"red\u202Etxt.exe", "redtxt.exe"},
      {"\u2066hat\u2069\u200b\ufeff", "hat"},
      {"line\u2028break\nand\ttab", "line break and tab"},
      {"h\u00f4tel \U0001F452", "h\u00f4tel \U0001F452"},
  };
  for (const auto& [said, plain] : cases) {
    SCOPED_TRACE(said);
    std::string quoted;
    for (const char c : said) {
      quoted += c == '"' ? "\\\"" : c == '\n' ? "\\n" : c == '\t' ? "\\t" : std::string(1, c);
    }
    const auto items =
        parse_item_list(R"([{"prompt": "hat", "description": ")" + quoted + R"("}])");
    ASSERT_EQ(items.size(), 1U);
    EXPECT_EQ(items[0].description, plain);
  }
}

TEST(VlmAnswer, AnEmptyListIsAnAnswer) {
  EXPECT_TRUE(parse_item_list("{\"items\": []}").empty());
  EXPECT_TRUE(parse_item_list("```json\n[]\n```").empty());
}

TEST(VlmAnswer, RefusesTheRest) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "not a JSON object"},
      {"[]", "not a JSON object"},
      {"{\"choices\":", "not a JSON object"},
      {"{}", "held no choices"},
      {R"({"choices":[]})", "held no choices"},
      {R"({"choices":{}})", "held no choices"},
      {R"({"error":{"message":"secret"}})", "reported an error"},
      {R"({"choices":[3]})", "first choice was no object"},
      {R"({"choices":[{}]})", "held no message"},
      {R"({"choices":[{"message":{}}]})", "message was empty"},
      {R"({"choices":[{"message":{"content":null,"refusal":"no"}}]})", "refused to answer"},
      {body_of("I see a hat."), "held no list of items"},
      {body_of("{\"items\": \"hat\"}"), "held no list of items"},
      {body_of("[1, 2]"), "held no list of items"},
      {body_of("[[[["), "held no list of items"},
      {body_of("{\"items\": [{\"prompt\": \"hat\""), "held no list of items"},
  };
  for (const auto& [body, part] : cases) {
    SCOPED_TRACE(body);
    expect_error(ErrorCode::kUnavailable, part, [&body = body] { parse_vlm_answer(body); });
  }
}

TEST(VlmAnswer, IsBounded) {
  std::string many = "[";
  for (int i = 0; i < 1000; ++i)
    many += (i > 0 ? ",\"item " : "\"item ") + std::to_string(i) + "\"";
  EXPECT_EQ(parse_item_list(many + "]").size(), 20U);
  EXPECT_EQ(parse_item_list("[\"" + std::string(199, 'a') + "\xc3\xa9\xc3\xa9\"]")[0].prompt,
            std::string(199, 'a'));
  const std::string deep = std::string(10'000, '[') + "\"hat\"" + std::string(10'000, ']');
  expect_error(ErrorCode::kUnavailable, "held no list", [&] { parse_item_list(deep); });
  expect_error(ErrorCode::kUnavailable, "longer than 262144 bytes",
               [] { parse_item_list(std::string(300'000, ' ')); });
  expect_error(ErrorCode::kUnavailable, "longer than 262144 bytes",
               [] { parse_vlm_answer(std::string(300'000, ' ')); });
  // Many opening brackets are looked at a bounded number of times.
  expect_error(ErrorCode::kUnavailable, "held no list",
               [] { parse_item_list(std::string(262'144, '{')); });
}

/// An endpoint that answers from a list, on a clock of its own.
struct FakeEndpoint {
  using Reply = std::function<HttpResponse(const HttpRequest&)>;

  VlmClient client(VlmOptions options = {}) {
    if (options.url.empty()) options.url = "https://vlm.example/v1";
    options.key = "sk-secret";
    return VlmClient(options,
                     [this](const HttpRequest& request, std::stop_token) {
                       requests.push_back(request);
                       const std::size_t at = std::min(requests.size() - 1, replies.size() - 1);
                       return replies[at](request);
                     },
                     {[this] { return now; },
                      [this](milliseconds pause, std::stop_token) {
                        pauses.push_back(pause);
                        now += pause;
                      }});
  }

  std::vector<Reply> replies;
  std::vector<HttpRequest> requests;
  std::vector<milliseconds> pauses;
  std::chrono::steady_clock::time_point now{};
};

FakeEndpoint::Reply answers(int status, std::string body = {},
                            std::vector<std::pair<std::string, std::string>> headers = {}) {
  return [=](const HttpRequest&) { return HttpResponse{status, headers, body}; };
}

FakeEndpoint::Reply throws(ErrorCode code) {
  return [=](const HttpRequest&) -> HttpResponse {
    throw Error(code, "Bearer sk-secret was not welcome");
  };
}

const std::string kGood = body_of("[\"hat\"]");

class VlmClientTest : public ::testing::Test {
 protected:
  ImageView image() const { return {pixels_.data(), 200, 100, 0}; }
  VlmOutcome list(const VlmOptions& options = {}) {
    VlmClient client = endpoint.client(options);
    return client.list(image(), {"tops", "bag"});
  }

  FakeEndpoint endpoint;

 private:
  std::vector<std::uint8_t> pixels_ = std::vector<std::uint8_t>(3 * 200 * 100, 90);
};

TEST_F(VlmClientTest, SendsTheShrunkImageAndTheCategories) {
  endpoint.replies = {answers(200, kGood)};
  VlmOptions options;
  options.max_side = 64;
  options.model = "some-model";
  const VlmOutcome outcome = list(options);
  EXPECT_TRUE(outcome.ok);
  EXPECT_EQ(prompts(outcome.items), Prompts{"hat"});
  EXPECT_EQ(outcome.tries, 1);

  const HttpRequest& request = endpoint.requests.at(0);
  EXPECT_EQ(request.method, "POST");
  EXPECT_EQ(request.url, "https://vlm.example/v1/chat/completions");
  EXPECT_EQ(request.deadline, milliseconds(12'000));
  EXPECT_EQ(request.max_response_bytes, 262'144U);
  const std::pair<std::string, std::string> bearer = {"Authorization", "Bearer sk-secret"};
  EXPECT_NE(std::find(request.headers.begin(), request.headers.end(), bearer),
            request.headers.end());
  EXPECT_EQ(request.body.find("sk-secret"), std::string::npos);

  const json body = json::parse(request.body);
  EXPECT_EQ(body["model"], "some-model");
  EXPECT_EQ(body["response_format"]["type"], "json_object");
  const std::string system = body["messages"][0]["content"];
  EXPECT_NE(system.find("one of tops, bag."), std::string::npos);
  const std::string url = body["messages"][1]["content"][1]["image_url"]["url"];
  const std::string prefix = "data:image/jpeg;base64,";
  ASSERT_TRUE(url.starts_with(prefix));
  // Undo base64 with an alphabet of the test's own.
  static const std::string kAlphabet =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::vector<std::byte> jpeg;
  unsigned int bits = 0;
  int held = 0;
  for (const char c : url.substr(prefix.size())) {
    if (c == '=') break;
    const std::size_t six = kAlphabet.find(c);
    ASSERT_NE(six, std::string::npos);
    bits = (bits << 6U) | static_cast<unsigned int>(six);
    if ((held += 6) >= 8) jpeg.push_back(static_cast<std::byte>((bits >> (held -= 8)) & 255U));
  }
  const image::Image sent = image::decode(jpeg);
  EXPECT_EQ(sent.width(), 64);
  EXPECT_EQ(sent.height(), 32);
}

TEST_F(VlmClientTest, TriesAgainAndGivesUpInTime) {
  endpoint.replies = {answers(503), throws(ErrorCode::kUnavailable), answers(200, kGood)};
  EXPECT_TRUE(list().ok);
  ASSERT_EQ(endpoint.pauses.size(), 2U);
  EXPECT_GE(endpoint.pauses[0], milliseconds(125));
  EXPECT_LE(endpoint.pauses[0], milliseconds(250));
  EXPECT_GE(endpoint.pauses[1], milliseconds(250));
  EXPECT_LE(endpoint.pauses[1], milliseconds(500));

  endpoint = {};
  endpoint.replies = {answers(200, body_of("no idea"))};
  const VlmOutcome outcome = list();
  EXPECT_FALSE(outcome.ok);
  EXPECT_EQ(outcome.tries, 3);
  EXPECT_EQ(outcome.reason, "the answer held no list of items");
}

TEST_F(VlmClientTest, SomeAnswersAreFinal) {
  for (const int status : {401, 403, 404, 301}) {
    endpoint = {};
    endpoint.replies = {answers(status, "sk-secret")};
    const VlmOutcome outcome = list();
    EXPECT_FALSE(outcome.ok);
    EXPECT_EQ(outcome.tries, 1);
    EXPECT_EQ(outcome.reason, "the endpoint answered " + std::to_string(status));
  }
}

TEST_F(VlmClientTest, ServersThatKnowLessAreAskedForLess) {
  endpoint.replies = {answers(400), answers(200, kGood)};
  EXPECT_TRUE(list().ok);
  ASSERT_EQ(endpoint.requests.size(), 2U);
  EXPECT_FALSE(json::parse(endpoint.requests[1].body).contains("response_format"));
  endpoint = {};
  endpoint.replies = {answers(400)};
  EXPECT_EQ(list().tries, 2);
}

TEST_F(VlmClientTest, RetryAfterIsHonouredWithinTheDeadline) {
  endpoint.replies = {answers(429, "", {{"Retry-After", "3"}}), answers(200, kGood)};
  EXPECT_TRUE(list().ok);
  EXPECT_EQ(endpoint.pauses, std::vector<milliseconds>{milliseconds(3000)});

  endpoint = {};
  endpoint.replies = {answers(429, "", {{"retry-after", "99999999999"}}), answers(200, kGood)};
  const VlmOutcome outcome = list();
  EXPECT_FALSE(outcome.ok);
  EXPECT_EQ(outcome.reason, "the endpoint answered 429");
  EXPECT_TRUE(endpoint.pauses.empty());
}

TEST_F(VlmClientTest, OneDeadlineHoldsForAllTries) {
  endpoint.replies = {[this](const HttpRequest& request) -> HttpResponse {
    endpoint.now += request.deadline;
    throw Error(ErrorCode::kDeadlineExceeded, "sk-secret");
  }};
  VlmOptions options;
  options.tries = 10;
  const VlmOutcome outcome = list(options);
  EXPECT_FALSE(outcome.ok);
  EXPECT_LE(outcome.seconds, 20.001);
  EXPECT_EQ(outcome.tries, 2);  // 12 s, then what is left
  EXPECT_LT(endpoint.requests[1].deadline, milliseconds(8000));
  EXPECT_EQ(outcome.reason.find("sk-secret"), std::string::npos);
}

TEST_F(VlmClientTest, AnOutageDoesNotMultiplyTheLoad) {
  endpoint.replies = {answers(500)};
  VlmOptions options;
  options.retry_burst = 4;
  VlmClient client = endpoint.client(options);
  for (int i = 0; i < 100; ++i) client.list(image(), {"tops"});
  // 100 first tries, 4 saved retries and a tenth of a retry earned a call.
  EXPECT_GE(endpoint.requests.size(), 110U);
  EXPECT_LE(endpoint.requests.size(), 114U);
  EXPECT_EQ(client.list(image(), {"tops"}).reason,
            "the endpoint answered 500; no retries are left");
}

TEST_F(VlmClientTest, AnOversizedAnswerIsNotAskedForAgain) {
  endpoint.replies = {throws(ErrorCode::kLimitExceeded)};
  const VlmOutcome outcome = list();
  EXPECT_EQ(outcome.tries, 1);
  EXPECT_EQ(outcome.reason, "the endpoint's answer was longer than 262144 bytes");
}

TEST_F(VlmClientTest, StopsWhenNobodyWaits) {
  std::stop_source source;
  endpoint.replies = {[&](const HttpRequest&) -> HttpResponse {
    source.request_stop();
    throw Error(ErrorCode::kCancelled, "cancelled");
  }};
  VlmClient client = endpoint.client();
  expect_error(ErrorCode::kCancelled, "cancelled",
               [&] { client.list(image(), {"tops"}, source.get_token()); });
  EXPECT_EQ(endpoint.requests.size(), 1U);
}

TEST_F(VlmClientTest, TheRealSleepEndsWhenStopped) {
  std::stop_source source;
  VlmOptions options;
  options.url = "http://127.0.0.1:9";
  options.backoff = milliseconds(60'000);
  options.deadline = milliseconds(600'000);
  VlmClient client(options, [&](const HttpRequest&, std::stop_token) -> HttpResponse {
    source.request_stop();
    return {503, {}, ""};
  });
  expect_error(ErrorCode::kCancelled, "cancelled",
               [&] { client.list(image(), {"tops"}, source.get_token()); });
}

TEST(VlmOptionsTest, UrlsBecomeEndpoints) {
  const std::vector<std::uint8_t> pixels(3, 0);
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"http://localhost:11434", "http://localhost:11434/v1/chat/completions"},
      {"https://a.b/v1/", "https://a.b/v1/chat/completions"},
      {"https://a.b/v1/chat/completions", "https://a.b/v1/chat/completions"},
      {"https://a.b/x/v1?api-version=2", "https://a.b/x/v1/chat/completions?api-version=2"}};
  for (const auto& [url, endpoint_url] : cases) {
    FakeEndpoint endpoint;
    endpoint.replies = {answers(200, kGood)};
    VlmOptions options;
    options.url = url;
    VlmClient client = endpoint.client(options);
    client.list({pixels.data(), 1, 1, 0}, {});
    EXPECT_EQ(endpoint.requests.at(0).url, endpoint_url);
  }
  const auto refused = [](const std::string& part, const std::function<void(VlmOptions&)>& change) {
    VlmOptions options;
    options.url = "https://a.b";
    change(options);
    expect_error(ErrorCode::kInvalidArgument, part, [&] {
      VlmClient(options, [](const HttpRequest&, std::stop_token) { return HttpResponse{}; });
    });
  };
  refused("http:// or https://", [](VlmOptions& o) { o.url = "ftp://a.b"; });
  refused("http:// or https://", [](VlmOptions& o) { o.url = "a.b/v1"; });
  refused("credentials", [](VlmOptions& o) { o.url = "https://me:sk-secret@a.b"; });
  refused("name a host", [](VlmOptions& o) { o.url = "https:///v1"; });
  refused("spaces or control", [](VlmOptions& o) { o.url = "https://a.b/\r\nX: y"; });
  refused("control characters", [](VlmOptions& o) { o.key = "a\r\nX: y"; });
  refused("vlm_tries", [](VlmOptions& o) { o.tries = 0; });
  refused("vlm_max_side", [](VlmOptions& o) { o.max_side = 9999; });
  refused("vlm_quality", [](VlmOptions& o) { o.quality = 0; });
  refused("deadlines must be positive", [](VlmOptions& o) { o.deadline = milliseconds(0); });
  refused("must not be negative", [](VlmOptions& o) { o.retry_share = -1; });
}

}  // namespace
}  // namespace itemcrop::taxonomy
