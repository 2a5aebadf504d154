#include "service/http/head.h"

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/ascii.h"

namespace itemcrop::service::http {

namespace bhttp = boost::beast::http;

void expect_head(Parser& parser, std::size_t max_head_bytes) {
  parser.header_limit(static_cast<std::uint32_t>(max_head_bytes));
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
  // A chunked body that is not over has at least "0\r\n\r\n" to come. Beast asserts that it sees
  // that much once it has seen the last chunk's size, so it is not shown less.
  constexpr std::size_t kShortestEnd = 5;
  const bool in_chunks = parser.is_header_done() && !parser.is_done() && parser.chunked();
  if (in_chunks && buffer.size() < kShortestEnd) return;
  buffer.consume(parser.put(buffer.data(), error));
  if (error == bhttp::error::need_more) error = {};
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
    return {431, "the head exceeds max_head_bytes = " + std::to_string(max_head_bytes)};
  }
  if (error == bhttp::error::body_limit) return {413, "the body exceeds this route's limit"};
  return {400, "malformed HTTP: " + error.message()};
}

}  // namespace itemcrop::service::http
