#include "service/requests/json_body.h"

#include <ctime>
#include <functional>
#include <string>
#include <thread>

#include <gtest/gtest.h>

#include "service/requests/error_reply.h"
#include "support/expect_error.h"

namespace itemcrop::service {
namespace {

using nlohmann::json;

/// "none", or the status and the message.
std::string refusal(std::string_view text, const Settings& settings = {}) {
  try {
    parse_json(text, settings);
    return "none";
  } catch (const http::HttpError& error) {
    return std::to_string(error.status()) + " " + error.what();
  }
}

double cpu_seconds(const std::function<void()>& work) {
  const auto now = [] {
    timespec time{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
  };
  const double begun = now();
  work();
  return now() - begun;
}

std::string repeated(std::string_view piece, std::size_t count) {
  std::string text;
  text.reserve(piece.size() * count);
  for (std::size_t i = 0; i < count; ++i) text += piece;
  return text;
}

TEST(ParseJson, ReadsWhatNlohmannReads) {
  for (const char* text :
       {"{}", "[]", "null", "3", "-0.1", "\"a\"", R"({"a":[1,2.5,-3,true,false,null,"x",{},[]]})",
        R"({"big":18446744073709551615,"least":-9223372036854775808,"more":18446744073709551616})",
        R"(["é","\u00e9","\ud83d\ude00","\"\\\/\b\f\n\r\t\u0000"])",
        R"({"a":{"b":{"c":[[[]]]}},"":1})", "[0.1,0.3,1e-7,2.2250738585072014e-308,1e308,123456e3]",
        " \t\r\n{ \"a\" : 1 } \n", "\xEF\xBB\xBF{\"a\":1}"}) {
    EXPECT_EQ(parse_json(text, {}), json::parse(text)) << text;
  }
  EXPECT_EQ(parse_json("[1e-400]", {})[0], 0.0);
}

TEST(ParseJson, ReadsWholeTextsHoweverLongAndEscaped) {
  const std::string plain(9'000'000, 'A');  // longer than two pieces
  EXPECT_EQ(parse_json("[\"" + plain + "\"]", {})[0], plain);
  const std::string body = "{\"k" + plain + "\":\"" + repeated("AAA\\/", 2'000'000) + "\"}";
  const json read = parse_json(body, {});
  EXPECT_EQ(read.begin().key(), "k" + plain);
  EXPECT_EQ(read.begin().value(), repeated("AAA/", 2'000'000));
}

TEST(ParseJson, RefusesTheRest) {
  const std::string near = "400 the body is not JSON (near byte ";
  for (const char* text : {"",
                           " ",
                           "{",
                           "}",
                           "[1,]",
                           "{\"a\":1,}",
                           "{'a':1}",
                           "{a:1}",
                           "NaN",
                           "[Infinity]",
                           "[-inf]",
                           "01",
                           "+1",
                           ".5",
                           "1.",
                           "1e",
                           "0x1",
                           "tru",
                           "nulll",
                           "[1 2]",
                           "{\"a\" 1}",
                           "{} x",
                           "{}{}",
                           "// c\n{}",
                           "{/**/}",
                           "\"a\nb\"",
                           "\"\\x41\"",
                           "\"\\ud800\"",
                           "\"\\udc00\"",
                           "\"\\ud800\\u0041\"",
                           "\"\xff\"",
                           "\"\xc0\xaf\"",
                           "\"\xed\xa0\x80\"",
                           "\"\xf5\x80\x80\x80\"",
                           "\"\xc3",
                           "<xml/>",
                           "\xEF\xBB{}"}) {
    EXPECT_EQ(refusal(text).substr(0, near.size()), near) << text;
  }
  EXPECT_EQ(refusal(std::string_view("\0", 1)).substr(0, near.size()), near);
  EXPECT_EQ(refusal("[1e999]"), "400 the body holds a number out of range");
  EXPECT_EQ(refusal("[1e99999999999]"), "400 the body holds a number out of range");
  EXPECT_EQ(refusal("[" + std::string(2000, '1') + "]"),
            "400 the body holds a number out of range");
  EXPECT_EQ(refusal(R"({"a":{"nms":1,"b":2,"nms":3}})"), "400 'nms' is given more than once");
}

TEST(ParseJson, HoldsItsLimits) {
  Settings settings;
  settings.max_json_depth = 4;
  settings.max_json_values = 100;
  EXPECT_EQ(refusal("[[[[]]]]", settings), "none");
  EXPECT_EQ(refusal("[[[[[]]]]]", settings),
            "400 the JSON body is nested deeper than max_json_depth = 4");
  EXPECT_EQ(refusal("[" + repeated("0,", 98) + "0]", settings), "none");
  EXPECT_EQ(refusal("[" + repeated("0,", 99) + "0]", settings),
            "413 the JSON body holds more than max_json_values = 100 values");
  EXPECT_EQ(refusal("{\"x\":[" + repeated("{},", 200), settings),
            "413 the JSON body holds more than max_json_values = 100 values");
}

/// What took a second for 0.13 MB once: eight times the values take eight times the time, not 64.
TEST(ParseJson, TakesLinearTime) {
  Settings settings;
  settings.max_json_values = 10'000'000;
  settings.max_json_depth = 1000;
  std::string keys;
  for (int i = 0; i < 160'000; ++i) keys += "\"" + std::to_string(i * 7919 % 160'000) + "\":0,";
  const auto body = [&](int kind, std::size_t count) -> std::string {
    switch (kind) {
      case 0:
        return "{\"x\":[" + repeated("{},", count) + "0]}";
      case 1:
        return "{" + keys.substr(0, keys.find(',', keys.size() * count / 160'000 - 20)) + "}";
      default:
        return "[" + repeated(repeated("[", 500) + repeated("]", 500) + ",", count / 500) + "0]";
    }
  };
  for (int kind = 0; kind < 3; ++kind) {
    const std::string small = body(kind, 20'000);
    const std::string large = body(kind, 160'000);
    const auto parse = [&](const std::string& text) {
      return [&] { EXPECT_NO_THROW(parse_json(text, settings)); };
    };
    cpu_seconds(parse(large));  // the allocator's first growth
    EXPECT_LT(cpu_seconds(parse(large)), 24 * cpu_seconds(parse(small)) + 0.01) << kind;
  }
}

TEST(ParseJson, StopsWhenNobodyWaits) {
  Settings settings;
  settings.max_json_values = 10'000'000;
  std::stop_source stop;
  stop.request_stop();
  test::expect_error(ErrorCode::kCancelled, "cancelled",
                     [&] { parse_json("[1]", settings, stop.get_token()); });
  std::stop_source later;
  const std::string body = "[" + repeated("\"\",", 8'000'000) + "0]";
  std::thread stopper([&] { later.request_stop(); });
  const double seconds = cpu_seconds([&] {
    test::expect_error(ErrorCode::kCancelled, "cancelled",
                       [&] { parse_json(body, settings, later.get_token()); });
  });
  stopper.join();
  EXPECT_LT(seconds, 0.2);
}

}  // namespace
}  // namespace itemcrop::service
