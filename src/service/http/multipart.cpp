#include "service/http/multipart.h"

#include <algorithm>

#include "core/ascii.h"
#include "service/http/http_error.h"
#include "service/http/message.h"

namespace itemcrop::service::http {
namespace {

constexpr std::size_t kMaxPartHead = 8192;

HttpError malformed(const std::string& what) {
  return {400, ErrorCode::kInvalidArgument, "the multipart body is malformed: " + what};
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

/// The value of `; name=value` or `; name="value"` in a header; empty if absent.
std::string parameter(std::string_view header, std::string_view name) {
  std::size_t at = header.find(';');
  while (at != header.npos && at < header.size()) {
    ++at;
    const std::size_t equals = header.find('=', at);
    if (equals == header.npos) return {};
    const std::string_view key = trimmed(header.substr(at, equals - at));
    std::string value;
    std::size_t end = equals + 1;
    if (end < header.size() && header[end] == '"') {
      for (++end; end < header.size() && header[end] != '"'; ++end) {
        if (header[end] == '\\' && end + 1 < header.size()) ++end;
        value.push_back(header[end]);
      }
      end = header.find(';', end);
    } else {
      const std::size_t stop = header.find(';', end);
      value = std::string(trimmed(header.substr(end, stop == header.npos ? stop : stop - end)));
      end = stop;
    }
    if (same_word(key, name)) return value;
    at = end;
  }
  return {};
}

Part parse_head(std::string_view head) {
  Part part;
  bool disposed = false;
  while (!head.empty()) {
    const std::size_t end = head.find("\r\n");
    const std::string_view line = head.substr(0, end);
    head.remove_prefix(end == head.npos ? head.size() : end + 2);
    const std::size_t colon = line.find(':');
    if (colon == line.npos) throw malformed("a part's header has no colon");
    const std::string_view name = trimmed(line.substr(0, colon));
    const std::string_view value = trimmed(line.substr(colon + 1));
    if (same_word(name, "Content-Disposition")) {
      disposed = same_word(trimmed(value.substr(0, value.find(';'))), "form-data");
      part.name = parameter(value, "name");
      part.file_name = parameter(value, "filename");
    } else if (same_word(name, "Content-Type")) {
      part.content_type = std::string(value);
    }
  }
  if (!disposed || part.name.empty()) throw malformed("a part without a name");
  return part;
}

}  // namespace

std::string multipart_boundary(std::string_view content_type) {
  if (!same_word(trimmed(content_type.substr(0, content_type.find(';'))), "multipart/form-data")) {
    return {};
  }
  const std::string boundary = parameter(content_type, "boundary");
  const auto fine = [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           std::string_view("'()+_,-./:=? ").find(c) != std::string_view::npos;
  };
  const bool good = !boundary.empty() && boundary.size() <= 70 && boundary.back() != ' ' &&
                    std::all_of(boundary.begin(), boundary.end(), fine);
  return good ? boundary : std::string();
}

std::vector<Part> parse_multipart(std::string_view body, const std::string& boundary,
                                  std::size_t max_parts) {
  const std::string delimiter = "\r\n--" + boundary;
  const std::string_view opening = std::string_view(delimiter).substr(2);
  std::size_t at = 0;
  if (!body.starts_with(opening)) {  // a preamble may come before the first delimiter
    at = body.find(delimiter);
    if (at == body.npos) throw malformed("its boundary does not occur");
    at += 2;
  }
  at += opening.size();
  std::vector<Part> parts;
  for (;;) {
    if (body.substr(at).starts_with("--")) return parts;
    const std::size_t line_end = body.find("\r\n", at);
    if (line_end == body.npos || !trimmed(body.substr(at, line_end - at)).empty()) {
      throw malformed("a boundary's line does not end");
    }
    if (parts.size() == max_parts) {
      throw HttpError(422, ErrorCode::kLimitExceeded,
                      "the form has more than " + std::to_string(max_parts) + " parts");
    }
    std::size_t content = line_end + 2;
    std::string_view head;
    if (body.substr(content).starts_with("\r\n")) {
      content += 2;
    } else {
      const std::size_t head_end = body.substr(0, content + kMaxPartHead).find("\r\n\r\n", content);
      if (head_end == body.npos) throw malformed("a part's head does not end");
      head = body.substr(content, head_end - content);
      content = head_end + 4;
    }
    // An empty part's delimiter begins with the line break that ended its head.
    const std::size_t end = body.find(delimiter, content - 2);
    if (end == body.npos) throw malformed("its last boundary is missing");
    Part part = parse_head(head);
    part.content = end < content ? std::string_view() : body.substr(content, end - content);
    parts.push_back(std::move(part));
    at = end + delimiter.size();
  }
}

}  // namespace itemcrop::service::http
