#include "fetch/address_policy.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <span>

#include <arpa/inet.h>
#include <netinet/in.h>

#include "itemcrop/error.h"

namespace itemcrop::fetch {
namespace {

constexpr Network v4(std::uint8_t a, std::uint8_t b, std::uint8_t c, std::uint8_t d, int prefix) {
  Network network{};
  network.base.bytes[0] = a;
  network.base.bytes[1] = b;
  network.base.bytes[2] = c;
  network.base.bytes[3] = d;
  network.prefix = prefix;
  return network;
}

constexpr Network v6(std::array<std::uint16_t, 8> groups, int prefix) {
  Network network{};
  network.base.is_v6 = true;
  for (std::size_t i = 0; i < groups.size(); ++i) {
    network.base.bytes[2 * i] = static_cast<std::uint8_t>(groups[i] >> 8);
    network.base.bytes[2 * i + 1] = static_cast<std::uint8_t>(groups[i] & 0xff);
  }
  network.prefix = prefix;
  return network;
}

// IANA's special-purpose registries, and addresses at which clouds answer their own machines.
constexpr Network kPrivate[] = {
    v4(10, 0, 0, 0, 8),
    v4(172, 16, 0, 0, 12),
    v4(192, 168, 0, 0, 16),
    v4(127, 0, 0, 0, 8),
    v4(100, 64, 0, 0, 10),  // shared by carriers (CGNAT)
    v6({0, 0, 0, 0, 0, 0, 0, 1}, 128),
    v6({0xfc00}, 7),
};

constexpr Network kMetadata[] = {
    v4(169, 254, 0, 0, 16),                            // link-local, 169.254.169.254 among them
    v4(168, 63, 129, 16, 32),                          // Azure, in an otherwise public range
    v4(100, 100, 100, 200, 32),                        // Alibaba
    v4(192, 0, 0, 192, 32),                            // Oracle
    v6({0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254}, 128),  // AWS
    v6({0xfd20, 0x00ce, 0, 0, 0, 0, 0, 0x0254}, 128),  // Google
    v6({0xfd00, 0x00c1, 0, 0, 0, 0, 0xa9fe, 0xa9fe}, 128),  // Oracle
};

constexpr Network kSpecialV4[] = {
    v4(0, 0, 0, 0, 8),        // this network
    v4(192, 0, 0, 0, 24),     // protocol assignments
    v4(192, 0, 2, 0, 24),     // documentation
    v4(192, 31, 196, 0, 24),  // AS112
    v4(192, 52, 193, 0, 24),  // AMT
    v4(192, 88, 99, 0, 24),   // 6to4 relays
    v4(192, 175, 48, 0, 24),  // AS112
    v4(198, 18, 0, 0, 15),    // benchmarks
    v4(198, 51, 100, 0, 24),  // documentation
    v4(203, 0, 113, 0, 24),   // documentation
    v4(224, 0, 0, 0, 4),      // multicast
    v4(240, 0, 0, 0, 4),      // reserved, broadcast
};

constexpr Network kGlobalUnicast = v6({0x2000}, 3);

/// Exceptions within 2000::/3.
constexpr Network kSpecialV6[] = {
    v6({0x2001}, 23),                  // protocol assignments: Teredo, ORCHID, benchmarks
    v6({0x2001, 0x0db8}, 32),          // documentation
    v6({0x2002}, 16),                  // 6to4
    v6({0x2620, 0x004f, 0x8000}, 48),  // AS112
    v6({0x3ffe}, 16),                  // the former 6bone
    v6({0x3fff}, 20),                  // documentation
};

bool any_contains(std::span<const Network> networks, const IpAddress& address) noexcept {
  return std::any_of(networks.begin(), networks.end(),
                     [&](const Network& network) { return network.contains(address); });
}

/// An IPv4 address in the last four bytes, tunnelled by the site's own router (RFC 5214).
bool is_isatap(const IpAddress& address) noexcept {
  const auto& b = address.bytes;
  return (b[8] & 0xfd) == 0 && b[9] == 0 && b[10] == 0x5e && b[11] == 0xfe;
}

}  // namespace

std::optional<IpAddress> IpAddress::parse(const std::string& text) {
  // inet_pton stops at a NUL, which must not hide what follows it.
  if (text.find('\0') != std::string::npos) return std::nullopt;
  IpAddress address;
  if (::inet_pton(AF_INET, text.c_str(), address.bytes.data()) == 1) return address;
  address.is_v6 = true;
  if (::inet_pton(AF_INET6, text.c_str(), address.bytes.data()) == 1) return address;
  return std::nullopt;
}

std::optional<IpAddress> IpAddress::from(const sockaddr& address) noexcept {
  IpAddress result;
  if (address.sa_family == AF_INET) {
    std::memcpy(result.bytes.data(), &reinterpret_cast<const sockaddr_in&>(address).sin_addr, 4);
    return result;
  }
  if (address.sa_family == AF_INET6) {
    result.is_v6 = true;
    std::memcpy(result.bytes.data(), &reinterpret_cast<const sockaddr_in6&>(address).sin6_addr, 16);
    return result;
  }
  return std::nullopt;
}

std::string IpAddress::text() const {
  std::array<char, INET6_ADDRSTRLEN> buffer{};
  ::inet_ntop(is_v6 ? AF_INET6 : AF_INET, bytes.data(), buffer.data(), buffer.size());
  return buffer.data();
}

Network Network::parse(const std::string& text) {
  const std::size_t slash = text.find('/');
  const auto base = IpAddress::parse(text.substr(0, slash));
  const int longest = base && base->is_v6 ? 128 : 32;
  int prefix = longest;
  bool good = base.has_value();
  if (good && slash != std::string::npos) {
    const char* end = text.data() + text.size();
    const auto [stop, problem] = std::from_chars(text.data() + slash + 1, end, prefix);
    good = problem == std::errc() && stop == end && prefix >= 0 && prefix <= longest;
  }
  if (!good) {
    throw Error(ErrorCode::kInvalidArgument,
                "allowed_networks: '" + text.substr(0, 100) +
                    "' is not a network such as 10.1.0.0/16, fd12::/64 or 192.168.1.7");
  }
  return {*base, prefix};
}

bool Network::contains(const IpAddress& address) const noexcept {
  if (address.is_v6 != base.is_v6) return false;
  const auto whole = static_cast<std::size_t>(prefix / 8);
  if (!std::equal(base.bytes.begin(), base.bytes.begin() + whole, address.bytes.begin())) {
    return false;
  }
  const int rest = prefix % 8;
  return rest == 0 || ((base.bytes[whole] ^ address.bytes[whole]) >> (8 - rest)) == 0;
}

bool is_private(const IpAddress& address) noexcept {
  return any_contains(kPrivate, address) && !any_contains(kMetadata, address);
}

bool is_public(const IpAddress& address) noexcept {
  if (any_contains(kPrivate, address) || any_contains(kMetadata, address)) return false;
  if (!address.is_v6) return !any_contains(kSpecialV4, address);
  return kGlobalUnicast.contains(address) && !any_contains(kSpecialV6, address) &&
         !is_isatap(address);
}

AddressPolicy::AddressPolicy(bool allow_private, const std::vector<std::string>& allowed_networks)
    : allow_private_(allow_private) {
  for (const std::string& text : allowed_networks) {
    allowed_networks_.push_back(Network::parse(text));
  }
}

bool AddressPolicy::allows(const IpAddress& address) const noexcept {
  return is_public(address) || (allow_private_ && is_private(address)) ||
         any_contains(allowed_networks_, address);
}

}  // namespace itemcrop::fetch
