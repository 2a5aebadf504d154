#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <boost/asio/ip/address.hpp>

#include "service/http/message.h"

namespace itemcrop::service {

/// "[::1]:80", "::ffff:10.0.0.1", "10.0.0.1:5000" or a bare address; none if it is not one. IPv4
/// addresses written as IPv6 become IPv4.
std::optional<boost::asio::ip::address> parse_address(std::string_view text);

/// Addresses and networks: "10.0.0.7", "10.0.0.0/8", "fd00::/8".
class NetworkList {
 public:
  /// Throws Error(kInvalidArgument) naming `setting` and the entry.
  NetworkList(const std::vector<std::string>& entries, const std::string& setting);

  bool contains(const boost::asio::ip::address& address) const;
  bool contains(std::string_view address) const;

 private:
  struct Network {
    boost::asio::ip::address_v6::bytes_type prefix;
    int bits;
  };
  std::vector<Network> networks_;
};

/// Who sent a request: its peer, unless that is a trusted proxy. Then the last address in Forwarded
/// (RFC 7239), or else X-Forwarded-For, that is not a trusted proxy's: what is before it was
/// written by somebody that is not trusted.
std::string client_address(const http::Request& request, const NetworkList& trusted_proxies);

/// Whose share an address takes: an IPv6 host has a whole /64 to choose addresses from.
std::string caller_of_address(const std::string& address);

}  // namespace itemcrop::service
