#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

struct sockaddr;

namespace itemcrop::fetch {

/// An IPv4 or IPv6 address without a port, in network order.
struct IpAddress {
  std::array<std::uint8_t, 16> bytes{};  ///< IPv4 uses the first four
  bool is_v6 = false;

  /// The canonical text forms only: "192.0.2.1", "2001:db8::1" (no brackets, no zone).
  static std::optional<IpAddress> parse(const std::string& text);
  /// None for anything but AF_INET and AF_INET6.
  static std::optional<IpAddress> from(const sockaddr& address) noexcept;
  /// The canonical text.
  std::string text() const;

  friend bool operator==(const IpAddress&, const IpAddress&) = default;
};

/// "10.1.0.0/16", "fd12::/64", or one address.
struct Network {
  IpAddress base;
  int prefix = 0;  ///< leading bits that are compared

  /// Throws Error(kInvalidArgument).
  static Network parse(const std::string& text);
  bool contains(const IpAddress& address) const noexcept;
};

/// Global unicast and nothing special about it: not private, loopback, link-local, shared (CGNAT),
/// metadata of a cloud, multicast, reserved, documentation or benchmark; for IPv6 also no form that
/// carries an IPv4 address to somewhere else (mapped, compatible, NAT64, 6to4, Teredo, ISATAP).
bool is_public(const IpAddress& address) noexcept;

/// Loopback, private, shared (CGNAT) or unique local; never a cloud's metadata address.
bool is_private(const IpAddress& address) noexcept;

/// Which addresses may be dialled.
class AddressPolicy {
 public:
  /// Public addresses; with `allow_private` those of is_private() too; and all of
  /// `allowed_networks`, whatever they are. Throws Error(kInvalidArgument): a network's text.
  explicit AddressPolicy(bool allow_private = false,
                         const std::vector<std::string>& allowed_networks = {});

  bool allows(const IpAddress& address) const noexcept;

 private:
  bool allow_private_;
  std::vector<Network> allowed_networks_;
};

}  // namespace itemcrop::fetch
