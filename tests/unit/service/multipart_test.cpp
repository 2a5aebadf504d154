#include "service/http/multipart.h"

#include <gtest/gtest.h>

#include "service/requests/error_reply.h"

namespace itemcrop::service::http {
namespace {

TEST(Boundary, IsReadAsRfc2046AllowsIt) {
  EXPECT_EQ(multipart_boundary("multipart/form-data; boundary=abc"), "abc");
  EXPECT_EQ(multipart_boundary("Multipart/Form-Data; charset=x; BOUNDARY=\"a b\""), "a b");
  EXPECT_EQ(multipart_boundary("multipart/form-data"), "");
  EXPECT_EQ(multipart_boundary("multipart/mixed; boundary=abc"), "");
  EXPECT_EQ(multipart_boundary("multipart/form-data; boundary=\"a<b\""), "");
  EXPECT_EQ(multipart_boundary("multipart/form-data; boundary=" + std::string(71, 'a')), "");
}

TEST(Multipart, GivesPartsInOrder) {
  const std::string body =
      "preamble\r\n--B\r\n"
      "Content-Disposition: form-data; name=\"image\"; filename=\"a \\\"b\\\".jpg\"\r\n"
      "Content-Type: image/jpeg\r\n\r\n"
      "\x01\r\n--b\r\n\x02\r\n--B \r\n"
      "content-disposition: form-data; name=items\r\n\r\n"
      "coat\r\n--B\r\n"
      "Content-Disposition: form-data; name=\"empty\"\r\n\r\n"
      "\r\n--B--\r\nepilogue";
  const auto parts = parse_multipart(body, "B", 8);
  ASSERT_EQ(parts.size(), 3U);
  EXPECT_EQ(parts[0].name, "image");
  EXPECT_EQ(parts[0].file_name, "a \"b\".jpg");
  EXPECT_EQ(parts[0].content_type, "image/jpeg");
  EXPECT_EQ(parts[0].content, "\x01\r\n--b\r\n\x02");
  EXPECT_EQ(parts[1].name, "items");
  EXPECT_EQ(parts[1].content, "coat");
  EXPECT_EQ(parts[2].name, "empty");
  EXPECT_EQ(parts[2].content, "");
}

int status_of(const std::string& body, std::size_t max_parts = 8) {
  try {
    parse_multipart(body, "B", max_parts);
  } catch (const http::HttpError& error) {
    return error.status();
  }
  return 200;
}

TEST(Multipart, ThatIsNotOneIsRefused) {
  const std::string part = "--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nx";
  EXPECT_EQ(status_of(part + "\r\n--B--"), 200);
  EXPECT_EQ(status_of(""), 400);
  EXPECT_EQ(status_of("no boundary"), 400);
  EXPECT_EQ(status_of(part), 400);                     // never ends
  EXPECT_EQ(status_of("--B\r\n\r\nx\r\n--B--"), 400);  // no name
  EXPECT_EQ(status_of("--B\r\nno colon\r\n\r\nx\r\n--B--"), 400);
  EXPECT_EQ(status_of("--Bx\r\n\r\n\r\n--B--"), 400);
  EXPECT_EQ(status_of("--B\r\nA: " + std::string(9000, 'a') + "\r\n\r\nx\r\n--B--"), 400);
  EXPECT_EQ(status_of(part + "\r\n" + part + "\r\n--B--", 1), 422);
}

TEST(Multipart, CutAtEveryByteIsRefusedOrWhole) {
  const std::string body =
      "--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nx\r\n--B\r\n"
      "Content-Disposition: form-data; name=\"b\"\r\n\r\ny\r\n--B--\r\n";
  for (std::size_t length = 0; length < body.size(); ++length) {
    const int status = status_of(body.substr(0, length));
    EXPECT_EQ(status, length + 2 >= body.size() ? 200 : 400) << length;
  }
}

}  // namespace
}  // namespace itemcrop::service::http
