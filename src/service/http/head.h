#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>

#include "service/http/message.h"

// From bytes to a request, without sockets, so that it can be fuzzed as it runs.

namespace itemcrop::service::http {

/// Beast's parser, and how much of a head may be and was shown to it. Its own limit holds for the
/// request line and the fields apart or together, as the bytes happen to arrive.
struct Parser : boost::beast::http::request_parser<boost::beast::http::string_body> {
  std::size_t max_head_bytes = 0;
  std::size_t head_bytes = 0;
};

/// Makes a fresh parser stop after the head; `expect_body` makes it go on. A head, the line of a
/// chunk and a trailer have at most `max_head_bytes` each.
void expect_head(Parser& parser, std::size_t max_head_bytes);
void expect_body(Parser& parser, std::size_t max_body_bytes);

/// Whether what is expected has arrived.
bool is_complete(const Parser& parser);

/// Takes from the buffer what belongs to the request; errors are for `problem_of`.
void feed(Parser& parser, boost::beast::flat_buffer& buffer, boost::system::error_code& error);

/// An answer in place of the request's; the connection ends after it.
struct HeadProblem {
  int status = 0;
  std::string reason;
};

/// Turns a parsed head into a Request; says what is wrong with one that RFC 9112 refuses.
std::optional<HeadProblem> read_head(const Parser& parser, Request& request);

/// What to answer to bytes that `feed` could not read.
HeadProblem problem_of(boost::system::error_code error, std::size_t max_head_bytes);

}  // namespace itemcrop::service::http
