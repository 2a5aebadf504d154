#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "service/http/http_error.h"
#include "service/http/multipart.h"

namespace {

namespace http = itemcrop::service::http;

constexpr std::size_t kMaxParts = 40;

void must(bool holds) {
  if (!holds) std::abort();
}

std::vector<http::Part> parts_of(std::string_view body, const std::string& boundary) {
  try {
    return http::parse_multipart(body, boundary, kMaxParts);
  } catch (const http::HttpError& error) {
    must(error.status() == 400 || error.status() == 422);
    return {};
  }
}

}  // namespace

/// The first line is the Content-Type, the rest the body. Parts lie within the body and none holds
/// a boundary; written again they are read as the same.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const std::size_t line = text.find('\n');
  if (line == text.npos) return 0;
  const std::string boundary = http::multipart_boundary(text.substr(0, line));
  if (boundary.empty()) return 0;
  must(boundary.size() <= 70 && boundary.find_first_of("\r\n\"") == boundary.npos);
  const std::string_view body = text.substr(line + 1);
  const std::string delimiter = "\r\n--" + boundary;

  const std::vector<http::Part> parts = parts_of(body, boundary);
  must(parts.size() <= kMaxParts);
  std::string again;
  for (const http::Part& part : parts) {
    must(!part.name.empty() && part.content.find(delimiter) == part.content.npos);
    must(part.content.empty() ||
         (part.content.data() >= body.data() &&
          part.content.data() + part.content.size() <= body.data() + body.size()));
    again += "--" + boundary + "\r\nContent-Disposition: form-data; name=a\r\n\r\n";
    again.append(part.content).append("\r\n");
  }
  if (parts.empty()) return 0;
  again += "--" + boundary + "--\r\n";
  const std::vector<http::Part> same = parts_of(again, boundary);
  must(same.size() == parts.size());
  for (std::size_t i = 0; i < parts.size(); ++i) must(same[i].content == parts[i].content);
  return 0;
}
