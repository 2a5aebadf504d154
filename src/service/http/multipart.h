#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace itemcrop::service::http {

/// One part of a form; `content` points into the body.
struct Part {
  std::string name;
  std::string file_name;  ///< empty: not a file
  std::string content_type;
  std::string_view content;
};

/// The boundary of "multipart/form-data; boundary=..."; empty if there is none or it is not one of
/// RFC 2046 (1 to 70 of its characters).
std::string multipart_boundary(std::string_view content_type);

/// Splits a multipart/form-data body (RFC 7578). Throws HttpError 400 for a body that is not one,
/// 422 for more than `max_parts`.
std::vector<Part> parse_multipart(std::string_view body, const std::string& boundary,
                                  std::size_t max_parts);

}  // namespace itemcrop::service::http
