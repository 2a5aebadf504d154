#include "service/http/head.h"

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string_view>

#include "core/ascii.h"

namespace itemcrop::service::http {

namespace bhttp = boost::beast::http;

namespace {

/// Lets the parser see at most `most` bytes; returns how many it took.
std::size_t show(Parser& parser, boost::beast::flat_buffer& buffer, std::size_t most,
                 boost::system::error_code& error) {
  const std::size_t taken = parser.put(boost::asio::buffer(buffer.data(), most), error);
  buffer.consume(taken);
  if (error == bhttp::error::need_more) error = {};
  return taken;
}

void feed_head(Parser& parser, boost::beast::flat_buffer& buffer,
               boost::system::error_code& error) {
  const std::size_t left = parser.max_head_bytes - parser.head_bytes;
  const bool all_of_it = buffer.size() >= left;
  parser.head_bytes += show(parser, buffer, left, error);
  if (!error && all_of_it && !parser.is_header_done()) error = bhttp::error::header_limit;
}

void feed_chunks(Parser& parser, boost::beast::flat_buffer& buffer,
                 boost::system::error_code& error) {
  // A chunked body that is not over has at least "0\r\n\r\n" to come. Beast asserts that it sees
  // that much once it has seen the last chunk's size, so it is not shown less.
  constexpr std::size_t kShortestEnd = 5;
  while (!error && !parser.is_done() && buffer.size() >= kShortestEnd) {
    const bool all_of_it = buffer.size() >= parser.max_head_bytes;
    if (show(parser, buffer, parser.max_head_bytes, error) > 0) continue;
    // The line of a chunk or the trailer has not ended.
    if (!error && all_of_it) error = bhttp::error::header_limit;
    return;
  }
}

}  // namespace

void expect_head(Parser& parser, std::size_t max_head_bytes) {
  parser.max_head_bytes = max_head_bytes;
  parser.header_limit(std::numeric_limits<std::uint32_t>::max());
  parser.body_limit(boost::none);
  parser.eager(false);
}

void expect_body(Parser& parser, std::size_t max_body_bytes) {
  parser.body_limit(static_cast<std::uint64_t>(max_body_bytes));
  parser.eager(true);
}

bool is_complete(const Parser& parser) {
  return parser.eager() ? parser.is_done() : parser.is_header_done();
}

void feed(Parser& parser, boost::beast::flat_buffer& buffer, boost::system::error_code& error) {
  if (!parser.is_header_done()) {
    feed_head(parser, buffer, error);
  } else if (parser.chunked()) {
    feed_chunks(parser, buffer, error);
  } else {
    show(parser, buffer, buffer.size(), error);
  }
}

std::optional<HeadProblem> read_head(const Parser& parser, Request& request) {
  const auto& message = parser.get();
  request.method = std::string(message.method_string());
  std::size_t hosts = 0;
  std::size_t encodings = 0;
  std::size_t lengths = 0;
  for (const auto& field : message) {
    request.headers.push_back({std::string(field.name_string()), std::string(field.value())});
    hosts += field.name() == bhttp::field::host;
    encodings += field.name() == bhttp::field::transfer_encoding;
    lengths += field.name() == bhttp::field::content_length;
  }
  request.id = request_id(request.header("X-Request-ID"));
  if (message.version() != 11 && message.version() != 10) {
    return HeadProblem{505, "only HTTP/1.1 and HTTP/1.0 are spoken here"};
  }
  if (message.version() == 11 && hosts != 1) {
    return HeadProblem{400,
                       "a request needs one Host header, this one has " + std::to_string(hosts)};
  }
  if (encodings > 0 && (lengths > 0 || message.version() == 10)) {
    return HeadProblem{400, "Transfer-Encoding next to Content-Length or in HTTP/1.0"};
  }
  if (encodings > 1) return HeadProblem{400, "Transfer-Encoding is given more than once"};
  const std::string_view length = request.header("Content-Length");
  if (length.find_first_not_of("0123456789") != std::string_view::npos) {
    return HeadProblem{400, "Content-Length is not a number"};
  }
  if (lengths > 1) return HeadProblem{400, "Content-Length is given more than once"};
  if (encodings == 1 && !same_word(request.header("Transfer-Encoding"), "chunked")) {
    return HeadProblem{501, "only the transfer coding 'chunked' is understood"};
  }
  request.chunked = encodings == 1;
  if (lengths == 1 && parser.content_length()) {
    request.content_length = static_cast<std::size_t>(*parser.content_length());
  }
  if (!parse_target(message.target(), request)) {
    return HeadProblem{400, "the request target is malformed"};
  }
  return std::nullopt;
}

HeadProblem problem_of(boost::system::error_code error, std::size_t max_head_bytes) {
  if (error == bhttp::error::header_limit) {
    return {431, "the head, or a chunk's line or trailer, exceeds max_head_bytes = " +
                     std::to_string(max_head_bytes)};
  }
  if (error == bhttp::error::body_limit) return {413, "the body exceeds this route's limit"};
  return {400, "malformed HTTP: " + error.message()};
}

}  // namespace itemcrop::service::http
