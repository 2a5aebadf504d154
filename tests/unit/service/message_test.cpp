#include "service/http/message.h"

#include <gtest/gtest.h>

namespace itemcrop::service::http {
namespace {

Request parsed(std::string_view target, const char* method = "GET") {
  Request request;
  request.method = method;
  EXPECT_TRUE(parse_target(target, request)) << target;
  return request;
}

TEST(Target, IsSplitAndDecoded) {
  const Request request = parsed("/v1/crop?items=navy%20blazer,pants&threshold=0.2&flag&a=b+c");
  EXPECT_EQ(request.path, "/v1/crop");
  EXPECT_EQ(*request.query_value("items"), "navy blazer,pants");
  EXPECT_EQ(*request.query_value("threshold"), "0.2");
  EXPECT_EQ(*request.query_value("flag"), "");
  EXPECT_EQ(*request.query_value("a"), "b c");
  EXPECT_EQ(request.query_value("b"), nullptr);
}

TEST(Target, MayBeAbsolute) {
  EXPECT_EQ(parsed("http://example.com/a?b=c").path, "/a");
  EXPECT_EQ(parsed("http://example.com").path, "/");
  EXPECT_EQ(parsed("https://example.com?b=c").path, "/");
}

TEST(Target, ThatIsMalformedIsRefused) {
  for (const char* bad : {"", "a", "*", "/%", "/%4", "/%zz", "/%00", "/a?b=%", "example.com:80"}) {
    Request request;
    request.method = "GET";
    EXPECT_FALSE(parse_target(bad, request)) << bad;
  }
  EXPECT_EQ(parsed("*", "OPTIONS").path, "*");
}

TEST(Headers, AreFoundInAnyCase) {
  Request request;
  request.headers = {{"Content-TYPE", "a"}, {"content-type", "b"}};
  EXPECT_EQ(request.header("Content-Type"), "a");
  EXPECT_EQ(request.header("Content-Length"), "");
}

TEST(RequestId, IsTakenOverOnlyIfItIsClean) {
  EXPECT_EQ(request_id("abc-1.2_Z"), "abc-1.2_Z");
  for (const std::string& bad : {std::string(), std::string("a b"), std::string("a\r\nX: y"),
                                 std::string("\xC3\xA4"), std::string(129, 'a')}) {
    const std::string made = request_id(bad);
    EXPECT_NE(made, bad);
    EXPECT_EQ(made.size(), 24U);
  }
  EXPECT_NE(request_id({}), request_id({}));
}

}  // namespace
}  // namespace itemcrop::service::http
