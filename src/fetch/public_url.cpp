#include "fetch/public_url.h"

#include <algorithm>
#include <charconv>
#include <memory>

#include <curl/curl.h>

#include "itemcrop/error.h"

#include "core/ascii.h"

namespace itemcrop::fetch {
namespace {

[[noreturn]] void refuse(const std::string& why) {
  throw Error(ErrorCode::kInvalidArgument, "url: " + why);
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

bool is_name_character(char c) {
  return (c >= 'a' && c <= 'z') || is_digit(c) || c == '-' || c == '.' || c == '_';
}

/// A last label that C libraries read as a number makes the whole host an address to them.
bool looks_numeric(std::string_view host) {
  const std::string_view last = host.substr(host.rfind('.') + 1);
  if (last.starts_with("0x")) {
    return std::all_of(last.begin() + 2, last.end(),
                       [](char c) { return is_digit(c) || (c >= 'a' && c <= 'f'); });
  }
  return std::all_of(last.begin(), last.end(), is_digit);
}

void check_name(std::string_view host) {
  if (host.empty()) refuse("has no host");
  if (host.size() > 253) refuse("its host is longer than 253 letters");
  if (!std::all_of(host.begin(), host.end(), is_name_character)) {
    refuse("its host may hold letters, digits, '-', '_' and '.' only (other letters as punycode)");
  }
  if (host.front() == '.' || host.find("..") != std::string_view::npos) {
    refuse("its host has an empty label");
  }
}

int parse_port(std::string_view text) {
  int port = 0;
  const auto [stop, problem] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (text.empty() || !is_digit(text.front()) || problem != std::errc() ||
      stop != text.data() + text.size() || port < 1 || port > 65535) {
    refuse("its port must be a number from 1 to 65535");
  }
  return port;
}

struct Authority {
  std::string host;
  std::optional<IpAddress> literal;
  std::optional<int> port;
};

Authority parse_authority(std::string_view text) {
  if (text.find('@') != std::string_view::npos) refuse("must not hold a user name or password");
  Authority authority;
  std::string_view rest;
  if (text.starts_with('[')) {
    const std::size_t end = text.find(']');
    if (end == std::string_view::npos) refuse("its '[' is not closed");
    authority.host = lower(text.substr(1, end - 1));
    authority.literal = IpAddress::parse(authority.host);
    if (!authority.literal || !authority.literal->is_v6) {
      refuse("its host in brackets is not an IPv6 address");
    }
    rest = text.substr(end + 1);
    if (!rest.empty() && rest.front() != ':') refuse("its host is malformed");
  } else {
    const std::size_t colon = text.find(':');
    authority.host = lower(text.substr(0, colon));
    if (colon != std::string_view::npos) rest = text.substr(colon);
    const bool rooted = authority.host.ends_with('.');
    if (rooted) authority.host.pop_back();
    check_name(authority.host);
    if (looks_numeric(authority.host)) {
      authority.literal = IpAddress::parse(authority.host);
      if (!authority.literal || rooted) {
        refuse("its host is neither a name nor an address as 192.0.2.1");
      }
    }
  }
  if (!rest.empty()) authority.port = parse_port(rest.substr(1));
  return authority;
}

using UrlHandle = std::unique_ptr<CURLU, decltype(&curl_url_cleanup)>;

std::string part_of(CURLU* url, CURLUPart part, unsigned flags = 0) {
  char* text = nullptr;
  if (curl_url_get(url, part, &text, flags) != CURLUE_OK || text == nullptr) return {};
  const std::unique_ptr<char, decltype(&curl_free)> owner(text, &curl_free);
  return text;
}

}  // namespace

PublicUrl parse_public_url(std::string_view url) {
  if (url.size() > kMaxUrlBytes) {
    throw Error(ErrorCode::kLimitExceeded, "url: has " + std::to_string(url.size()) +
                                               " bytes, the limit is " +
                                               std::to_string(kMaxUrlBytes));
  }
  for (const char c : url) {
    if (static_cast<unsigned char>(c) <= 0x20 || c == 0x7f) {
      refuse("must not hold spaces or control characters");
    }
    if (c == '\\') refuse("must not hold a backslash");
  }
  const std::size_t separator = url.find("://");
  const std::string scheme =
      separator == std::string_view::npos ? std::string() : lower(url.substr(0, separator));
  if (scheme != "http" && scheme != "https") refuse("must begin with http:// or https://");
  url = url.substr(0, url.find('#'));
  std::string_view rest = url.substr(std::min(separator + 3, url.size()));
  const std::size_t end = rest.find_first_of("/?");
  const Authority authority = parse_authority(rest.substr(0, end));

  PublicUrl result;
  result.host = authority.literal ? authority.literal->text() : authority.host;
  result.literal = authority.literal;
  result.port = authority.port.value_or(scheme == "https" ? 443 : 80);

  // libcurl's opinion, since libcurl will dial: it must be the same.
  const UrlHandle handle(curl_url(), &curl_url_cleanup);
  if (handle == nullptr) throw std::bad_alloc();
  const std::string text(url);
  if (curl_url_set(handle.get(), CURLUPART_URL, text.c_str(),
                   CURLU_DISALLOW_USER | CURLU_URLENCODE) != CURLUE_OK) {
    refuse("is malformed");
  }
  std::string host = lower(part_of(handle.get(), CURLUPART_HOST));
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  if (host.ends_with('.')) host.pop_back();
  // libcurl writes IPv6 addresses its own way, so those are compared as numbers.
  const bool same =
      authority.literal ? IpAddress::parse(host) == authority.literal : host == authority.host;
  if (!same || lower(part_of(handle.get(), CURLUPART_SCHEME)) != scheme ||
      part_of(handle.get(), CURLUPART_PORT, CURLU_DEFAULT_PORT) != std::to_string(result.port)) {
    refuse("its host can be read in more than one way");
  }
  result.text = part_of(handle.get(), CURLUPART_URL);
  if (result.text.empty()) refuse("is malformed");
  return result;
}

bool host_is_listed(std::string_view host, const std::vector<std::string>& list) {
  return std::any_of(list.begin(), list.end(), [&](const std::string& entry) {
    const std::string wanted = lower(entry);
    return host == wanted || (wanted.starts_with('.') && wanted.size() > 1 &&
                              host.size() > wanted.size() && host.ends_with(wanted));
  });
}

bool is_web_port(int port) noexcept {
  return port == 80 || port == 443 || (port >= 1024 && port <= 65535);
}

}  // namespace itemcrop::fetch
