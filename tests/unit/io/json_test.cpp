#include "io/json.h"

#include <ctime>
#include <string>

#include <gtest/gtest.h>

#include "support/expect_error.h"

namespace itemcrop::io {
namespace {

void expect_refused(const std::string& text, const char* part) {
  SCOPED_TRACE(text.substr(0, 60));
  test::expect_error(ErrorCode::kCorruptModel, part, [&] { parse_json_object(text, "x.json"); });
}

TEST(ParseJsonObject, ReadsNestedValues) {
  const auto document = parse_json_object(R"({"a":{"b":[1,{"a":2}]},"b":"é"})", "x.json");
  EXPECT_EQ(document["a"]["b"][1]["a"], 2);
  EXPECT_EQ(document["b"], "é");
}

TEST(ParseJsonObject, RefusesWhatIsNotAnObject) {
  expect_refused("", "x.json: not valid JSON");
  expect_refused("{", "not valid JSON");
  expect_refused("{} x", "not valid JSON");
  expect_refused("[]", "not a JSON object");
  expect_refused("null", "not a JSON object");
  expect_refused("{\"a\":\"\xC3\"}", "not valid JSON");
}

TEST(ParseJsonObject, RefusesAKeyThatOccursTwiceInOneObject) {
  expect_refused(R"({"a":1,"a":2})", "key 'a' occurs twice");
  expect_refused(R"({"x":{"a":1,"b":{"a":1},"a":2}})", "key 'a' occurs twice");
  EXPECT_NO_THROW(parse_json_object(R"({"x":{"a":1},"y":{"a":2},"a":[{"a":1},{"a":1}]})", "x"));
}

TEST(ParseJsonObject, RefusesNumbersThatOverflow) {
  expect_refused(R"({"a":1e605})", "x.json: a number is too large for a double");
}

TEST(ParseJsonObject, RefusesDeepNesting) {
  std::string deep = "{\"a\":";
  for (int i = 0; i < 100'000; ++i) {
    deep += '[';
  }
  expect_refused(deep, "nested deeper than 64");
}

/// A config.json of 392 kB took nine seconds once.
TEST(ParseJsonObject, TakesLinearTime) {
  const auto text = [](int members) {
    std::string list = "{\"x\":[";
    for (int i = 0; i < members; ++i) list += "{},";
    return list + "0]}";
  };
  const auto seconds = [](const std::string& body) {
    const std::clock_t begun = std::clock();
    parse_json_object(body, "x.json");
    return static_cast<double>(std::clock() - begun) / CLOCKS_PER_SEC;
  };
  const std::string large = text(160'000);
  seconds(large);  // the allocator's first growth
  EXPECT_LT(seconds(large), 24 * seconds(text(20'000)) + 0.01);
}

TEST(ParseJson, HoldsItsLimits) {
  const auto fault = [](const std::string& body, const JsonLimits& limits) {
    try {
      parse_json(body, limits);
    } catch (const JsonError& error) {
      return error.fault();
    }
    ADD_FAILURE() << body;
    return JsonFault::kSyntax;
  };
  EXPECT_EQ(fault("[[[]]]", {.max_depth = 2}), JsonFault::kDepth);
  EXPECT_EQ(fault("[1,2,3]", {.max_values = 3}), JsonFault::kValues);
  EXPECT_EQ(fault("{\"a\":1,\"a\":2}", {}), JsonFault::kDuplicateKey);
  EXPECT_EQ(parse_json("{\"a\":[1],\"a\":2}", {.unique_keys = false}), nlohmann::json({{"a", 2}}));
}

}  // namespace
}  // namespace itemcrop::io
