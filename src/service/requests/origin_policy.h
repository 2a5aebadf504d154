#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "service/http/message.h"
#include "service/requests/settings.h"

namespace itemcrop::service {

/// Which names this service has and which pages of browsers may call it. A browser sends a page's
/// requests to any address it can reach, also to one that only its own machine can.
class OriginPolicy {
 public:
  explicit OriginPolicy(const Settings& settings);

  /// Throws Error kForbidden for a Host header with a name that is not this service's: a name of
  /// somebody else that resolves to this address (DNS rebinding) makes their page ours.
  void check_host(const http::Request& head) const;

  /// Throws Error kForbidden for what a page of an origin that may not call sends.
  void check_origin(const http::Request& head) const;

  /// "https://a.example" of what clients reach this service by: public_url, else the request's
  /// Host if it is known to be this service's. Empty if it is not: paths stand alone then, so that
  /// nobody is sent to an address that somebody made up.
  std::string base_url(const http::Request& head) const;

  /// Access-Control headers for the request's Origin, if it may call.
  std::vector<http::Header> cors_headers(const http::Request& head) const;

 private:
  /// A name of the settings or an address that only this machine has, with any port.
  bool is_known_host(std::string_view host) const;
  bool is_own_host(std::string_view host) const;
  bool may_call(std::string_view origin) const;
  /// The page came from this service itself.
  bool is_same_origin(const http::Request& head, std::string_view origin) const;

  std::string public_url_;  // without a slash at its end
  std::string scheme_;
  std::vector<std::string> hosts_;  // lower case, without ports
  bool any_host_ = false;
  bool any_address_ = false;
  std::vector<std::string> origins_;
  bool any_origin_ = false;
};

/// "app.example.com/" and the like: what is wrong with it and what to write; empty: it is an
/// origin.
std::string problem_of_origin(const std::string& origin);

}  // namespace itemcrop::service
