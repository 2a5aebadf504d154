#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "core/ascii.h"
#include "service/http/head.h"

namespace {

namespace http = itemcrop::service::http;

constexpr std::size_t kMaxHead = 1024;
constexpr std::size_t kMaxBody = 4096;

void must(bool holds) {
  if (!holds) std::abort();
}

/// What one connection's bytes were taken for, a line a request. Why it ended is left out: of a
/// request that is cut short, the parser may see what is wrong now or with the next byte.
std::vector<std::string> requests_in(std::string_view bytes, std::size_t piece) {
  std::vector<std::string> found;
  boost::beast::flat_buffer buffer;
  while (true) {
    http::Parser parser;
    http::expect_head(parser, kMaxHead);
    const auto arrives = [&](boost::system::error_code& error) {
      while (!http::is_complete(parser)) {
        if (buffer.size() > 0) http::feed(parser, buffer, error);
        if (error || http::is_complete(parser)) break;
        if (bytes.empty()) return false;
        const std::size_t count = std::min(piece, bytes.size());
        std::memcpy(buffer.prepare(count).data(), bytes.data(), count);
        buffer.commit(count);
        bytes.remove_prefix(count);
      }
      if (error) must(http::problem_of(error, kMaxHead).status >= 400);
      return !error;
    };
    boost::system::error_code error;
    if (!arrives(error)) return found;
    http::Request request;
    if (const auto problem = http::read_head(parser, request)) {
      must(problem->status == 400 || problem->status == 501 || problem->status == 505);
      return found;
    }
    // What is let through has one meaning, to us and to any proxy in front.
    must(request.path.starts_with('/') && !request.method.empty());
    must(request.path.find('\0') == std::string::npos);
    std::size_t lengths = 0;
    std::size_t codings = 0;
    for (const http::Header& header : request.headers) {
      lengths += itemcrop::same_word(header.name, "Content-Length");
      codings += itemcrop::same_word(header.name, "Transfer-Encoding");
      must(header.value.find_first_of(std::string_view("\r\n\0", 3)) == std::string::npos);
    }
    must(lengths + codings <= 1);
    must(request.chunked == (codings == 1) && request.content_length.has_value() == (lengths == 1));
    http::expect_body(parser, kMaxBody);
    if (!arrives(error)) return found;
    const std::string body = parser.get().body();
    must(body.size() <= kMaxBody);
    must(request.chunked || body.size() == request.content_length.value_or(0));
    found.push_back(request.method + ' ' + request.path + ' ' + body);
    if (!parser.keep_alive()) return found;
  }
}

}  // namespace

/// Bytes on a connection; the first one is how many arrive at a time. How they were cut on the way
/// must not change what they mean.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data + 1), size - 1);
  const auto whole = requests_in(bytes, bytes.size() + 1);
  must(requests_in(bytes, 1 + data[0] % 64U) == whole);
  return 0;
}
