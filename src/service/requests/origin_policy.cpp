#include "service/requests/origin_policy.h"

#include <algorithm>

#include "itemcrop/error.h"

#include "core/ascii.h"
#include "service/requests/client_address.h"

namespace itemcrop::service {
namespace {

/// "Crop.example:8000" -> "crop.example", "[::1]:80" -> "::1"; empty if it is not a host with a
/// port.
std::string name_of(std::string_view authority) {
  std::string_view name = authority;
  std::string_view port;
  if (authority.starts_with('[')) {
    const std::size_t end = authority.find(']');
    if (end == authority.npos) return {};
    name = authority.substr(1, end - 1);
    port = authority.substr(end + 1);
    if (!port.empty() && !port.starts_with(':')) return {};
  } else if (std::count(authority.begin(), authority.end(), ':') == 1) {
    name = authority.substr(0, authority.find(':'));
    port = authority.substr(name.size());
  }
  if (port.starts_with(':')) port.remove_prefix(1);
  if (port.size() > 5 || port.find_first_not_of("0123456789") != port.npos) return {};
  std::string lowered = lower(name);
  if (lowered.ends_with('.')) lowered.pop_back();
  return lowered;
}

/// "https://a.example:8443/b" -> "a.example:8443"; empty if there is none.
std::string_view authority_of(std::string_view url) {
  const std::size_t scheme = url.find("://");
  if (scheme == url.npos) return {};
  url.remove_prefix(scheme + 3);
  return url.substr(0, url.find_first_of("/?#"));
}

bool is_plain(std::string_view host) {
  return !host.empty() && host.size() <= 255 && std::all_of(host.begin(), host.end(), [](char c) {
    const char l = lower(c);
    return (l >= '0' && l <= '9') || (l >= 'a' && l <= 'z') ||
           std::string_view(".-:[]_").find(c) != std::string_view::npos;
  });
}

}  // namespace

OriginPolicy::OriginPolicy(const Settings& settings)
    : public_url_(settings.public_url),
      scheme_(settings.tls() ? "https://" : "http://"),
      origins_(settings.cors_origins) {
  while (public_url_.ends_with('/')) public_url_.pop_back();
  any_origin_ = std::find(origins_.begin(), origins_.end(), "*") != origins_.end();
  hosts_ = {"localhost", name_of(settings.host)};
  for (const std::string& host : settings.hosts) hosts_.push_back(name_of(host));
  if (const auto authority = authority_of(settings.public_url); !authority.empty()) {
    hosts_.push_back(name_of(authority));
    origins_.push_back(settings.public_url.substr(0, settings.public_url.find("://") + 3) +
                       std::string(authority));
  }
  const bool named = !settings.hosts.empty() || !settings.public_url.empty();
  any_address_ = !settings.loopback();
  // Other sites' pages do not have a key, so a Host that is not listed does no harm.
  any_host_ = any_address_ && !named && !settings.api_keys.empty();
}

bool OriginPolicy::is_known_host(std::string_view host) const {
  const std::string name = name_of(host);
  if (name.empty() || !is_plain(host)) return false;
  if (std::find(hosts_.begin(), hosts_.end(), name) != hosts_.end()) return true;
  const auto address = parse_address(name);
  return address && address->is_loopback();
}

bool OriginPolicy::is_own_host(std::string_view host) const {
  if (is_known_host(host)) return true;
  if (any_host_) return is_plain(host);
  // DNS rebinding needs a name: a page cannot have an address as its origin's name.
  return any_address_ && parse_address(name_of(host)).has_value();
}

void OriginPolicy::check_host(const http::Request& head) const {
  const std::string_view host = head.header("Host");
  if (host.empty() || is_own_host(host)) return;
  throw Error(ErrorCode::kForbidden, "Host '" + std::string(host.substr(0, 100)) +
                                         "' is not a name of this service; the settings hosts and "
                                         "public_url list them");
}

std::string OriginPolicy::base_url(const http::Request& head) const {
  if (!public_url_.empty()) return public_url_;
  const std::string_view host = head.header("Host");
  const auto address = parse_address(name_of(host));
  const bool connected_to = address && parse_address(head.local_address) == address;
  return is_known_host(host) || (connected_to && is_own_host(host)) ? scheme_ + std::string(host)
                                                                    : std::string();
}

bool OriginPolicy::may_call(std::string_view origin) const {
  return any_origin_ || std::find(origins_.begin(), origins_.end(), origin) != origins_.end();
}

bool OriginPolicy::is_same_origin(const http::Request& head, std::string_view origin) const {
  const std::string_view authority = authority_of(origin);
  return !authority.empty() && same_word(authority, head.header("Host"));
}

void OriginPolicy::check_origin(const http::Request& head) const {
  const std::string_view origin = head.header("Origin");
  const std::string_view site = head.header("Sec-Fetch-Site");
  if (origin.empty()) {
    // Browsers that send no Origin with a request say at least where it comes from.
    if (site.empty() || site == "same-origin" || site == "none" || any_origin_) return;
  } else if (may_call(origin) || is_same_origin(head, origin)) {
    return;
  }
  throw Error(ErrorCode::kForbidden,
              "pages of " + (origin.empty() ? "other sites" : std::string(origin.substr(0, 200))) +
                  " may not call this service; the setting cors_origins lists those that may");
}

std::vector<http::Header> OriginPolicy::cors_headers(const http::Request& head) const {
  const std::string_view origin = head.header("Origin");
  if (origin.empty()) return {};
  if (!may_call(origin)) return {{"Vary", "Origin"}};
  std::vector<http::Header> headers = {
      {"Access-Control-Allow-Origin", any_origin_ ? "*" : std::string(origin)},
      {"Access-Control-Expose-Headers", "X-Request-ID, Retry-After"}};
  if (!any_origin_) headers.push_back({"Vary", "Origin"});
  if (head.method == "OPTIONS") {
    headers.push_back({"Access-Control-Allow-Methods", "GET, POST, DELETE, OPTIONS"});
    headers.push_back({"Access-Control-Allow-Headers",
                       "Authorization, Content-Type, Last-Event-ID, X-API-Key, X-Request-ID"});
    headers.push_back({"Access-Control-Max-Age", "86400"});
  }
  return headers;
}

std::string problem_of_origin(const std::string& origin) {
  if (origin == "*" || origin == "null") {
    return origin == "null" ? "'null' is what any sandboxed page sends; list an origin" : "";
  }
  const std::string_view authority = authority_of(origin);
  std::string scheme = lower(origin.substr(0, origin.find("://")));
  if (authority.empty()) scheme = "https";
  const std::string name =
      authority.empty() ? origin.substr(0, origin.find('/')) : std::string(authority);
  if (name.empty() || !is_plain(name)) return "'" + origin + "' is not an origin";
  const std::string right = scheme + "://" + lower(name);
  if (right == origin) return {};
  return "'" + origin + "' is not an origin as browsers send it; write '" + right + "'";
}

}  // namespace itemcrop::service
