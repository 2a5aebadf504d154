#include "service/http/head.h"

#include <cstddef>
#include <cstring>
#include <string>
#include <string_view>

#include <gtest/gtest.h>

namespace itemcrop::service::http {
namespace {

/// The body of a request whose bytes arrive `piece` at a time, or what was wrong with it.
std::string body_of(std::string_view bytes, std::size_t piece) {
  Parser parser;
  boost::beast::flat_buffer buffer;
  boost::system::error_code error;
  expect_head(parser, 1024);
  while (!parser.is_done() || !parser.eager()) {
    if (is_complete(parser)) expect_body(parser, 1024);
    if (buffer.size() > 0) feed(parser, buffer, error);
    if (error) return error.message();
    if (is_complete(parser)) continue;
    if (bytes.empty()) return "incomplete";
    const std::string_view next = bytes.substr(0, piece);
    std::memcpy(buffer.prepare(next.size()).data(), next.data(), next.size());
    buffer.commit(next.size());
    bytes.remove_prefix(next.size());
  }
  return parser.get().body();
}

constexpr std::string_view kHead =
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";

TEST(Head, AChunkedBodyMayArriveInAnyPieces) {
  const std::string none = std::string(kHead) + "0\r\n\r\n";
  const std::string some =
      std::string(kHead) + "3\r\nabc\r\n1;x=y\r\nd\r\n0;z\r\nTrailer: t\r\n\r\n";
  for (std::size_t piece = 1; piece <= some.size(); ++piece) {
    EXPECT_EQ(body_of(none, piece), "") << piece;
    EXPECT_EQ(body_of(some, piece), "abcd") << piece;
  }
}

TEST(Head, AChunkedBodyThatDoesNotEndIsIncomplete) {
  for (std::size_t piece = 1; piece <= 8; ++piece) {
    EXPECT_EQ(body_of(std::string(kHead) + "0\r\n\r", piece), "incomplete") << piece;
    EXPECT_EQ(body_of(std::string(kHead) + "2\r\na", piece), "incomplete") << piece;
  }
}

TEST(Head, AChunkWithoutASizeIsRefused) {
  for (std::size_t piece = 1; piece <= 8; ++piece) {
    EXPECT_EQ(body_of(std::string(kHead) + "zz\r\n\r\n", piece), "bad chunk") << piece;
  }
}

TEST(Head, ItsLimitHoldsToTheByteInAnyPieces) {
  const auto head_of = [](std::size_t target, std::size_t bytes) {
    std::string head = "GET /" + std::string(target, 'a') + " HTTP/1.1\r\nHost: a\r\nX: ";
    head += std::string(bytes - head.size() - 4, 'x');
    return head + "\r\n\r\n";
  };
  for (const std::size_t target : {1U, 100U, 900U, 980U}) {
    for (const std::size_t piece : {1U, 2U, 3U, 7U, 64U, 1000U, 1023U, 1024U, 1025U, 4096U}) {
      EXPECT_EQ(body_of(head_of(target, 1023), piece), "") << target << ' ' << piece;
      EXPECT_EQ(body_of(head_of(target, 1024), piece), "") << target << ' ' << piece;
      EXPECT_EQ(body_of(head_of(target, 1025), piece), "header limit exceeded") << target;
      EXPECT_EQ(body_of(head_of(target, 1200), piece), "header limit exceeded") << target;
    }
  }
}

TEST(Head, LinesOfChunksAndTrailersAreBoundedInAnyPieces) {
  const auto chunk = [](std::size_t extension) {
    return std::string(kHead) + "1;" + std::string(extension, 'x') + "\r\na\r\n0\r\n\r\n";
  };
  const auto trailer = [](std::size_t bytes) {
    return std::string(kHead) + "1\r\na\r\n0\r\nX: " + std::string(bytes, 'x') + "\r\n\r\n";
  };
  for (const std::size_t piece : {1U, 5U, 100U, 1024U, 4096U, 100'000U}) {
    EXPECT_EQ(body_of(chunk(900), piece), "a") << piece;
    EXPECT_EQ(body_of(trailer(900), piece), "a") << piece;
    for (const std::size_t bytes : {1100U, 3000U, 50'000U}) {
      EXPECT_EQ(body_of(chunk(bytes), piece), "header limit exceeded") << piece;
      EXPECT_EQ(body_of(trailer(bytes), piece), "header limit exceeded") << piece;
    }
  }
}

}  // namespace
}  // namespace itemcrop::service::http
