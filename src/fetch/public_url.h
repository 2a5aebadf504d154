#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "fetch/address_policy.h"

namespace itemcrop::fetch {

inline constexpr std::size_t kMaxUrlBytes = 8192;

/// A URL that was read strictly: one meaning, whatever parser reads it.
struct PublicUrl {
  std::string text;  ///< as it will be requested: no fragment, other than ASCII percent-encoded
  std::string host;  ///< lower case, without a final dot; IPv6 without brackets
  int port = 0;
  std::optional<IpAddress> literal;  ///< the host, if it is an address
};

/// http or https, a host name or a canonical IP address, no credentials. Refused as well: spaces,
/// control characters, backslashes, percent signs and letters beyond ASCII in the host (use
/// punycode), numbers that only some programs take for an address (0x7f.1, 2130706433, 0177.0.0.1),
/// more than kMaxUrlBytes. Throws Error: kInvalidArgument, kLimitExceeded.
PublicUrl parse_public_url(std::string_view url);

/// "example.com" allows that host, ".example.com" every host below it. Both in lower case.
bool host_is_listed(std::string_view host, const std::vector<std::string>& list);

/// 80, 443 and 1024 to 65535: below are mail, shells and name servers, which must not be spoken to
/// in HTTP for somebody else.
bool is_web_port(int port) noexcept;

}  // namespace itemcrop::fetch
