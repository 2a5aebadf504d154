#include "service/requests/client_address.h"

#include <algorithm>
#include <charconv>

#include "itemcrop/error.h"

#include "core/ascii.h"

namespace itemcrop::service {
namespace {

namespace ip = boost::asio::ip;

constexpr int kMappedBits = 96;  // of ::ffff:0:0/96, where IPv4 addresses are

ip::address_v6::bytes_type bytes_of(const ip::address& address) {
  return address.is_v4() ? ip::make_address_v6(ip::v4_mapped, address.to_v4()).to_bytes()
                         : address.to_v6().to_bytes();
}

bool same_prefix(const ip::address_v6::bytes_type& a, const ip::address_v6::bytes_type& b,
                 int bits) {
  for (std::size_t i = 0; bits > 0; ++i, bits -= 8) {
    const int mask = bits >= 8 ? 0xFF : 0xFF << (8 - bits) & 0xFF;
    if ((a[i] & mask) != (b[i] & mask)) return false;
  }
  return true;
}

std::string_view trimmed(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(" \t\"");
  if (begin == text.npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t\"") - begin + 1);
}

/// The `for=` of one element of Forwarded: for="[2001:db8::1]:80";proto=https
std::string_view forwarded_for(std::string_view element) {
  while (!element.empty()) {
    const std::size_t end = element.find(';');
    const std::string_view pair = trimmed(element.substr(0, end));
    element = end == element.npos ? std::string_view() : element.substr(end + 1);
    if (pair.size() > 4 && same_word(pair.substr(0, 4), "for=")) return trimmed(pair.substr(4));
  }
  return {};
}

/// What the header's lines list, in order; of several lines, one after the other.
std::vector<std::string_view> listed(const http::Request& request, std::string_view name) {
  std::vector<std::string_view> entries;
  for (const http::Header& header : request.headers) {
    if (!same_word(header.name, name)) continue;
    std::string_view rest = header.value;
    while (true) {
      const std::size_t comma = rest.find(',');
      entries.push_back(trimmed(rest.substr(0, comma)));
      if (comma == rest.npos) break;
      rest.remove_prefix(comma + 1);
    }
  }
  return entries;
}

}  // namespace

std::optional<ip::address> parse_address(std::string_view text) {
  if (text.starts_with('[')) {
    text = text.substr(1, text.find(']') - 1);
  } else if (std::count(text.begin(), text.end(), ':') == 1) {
    text = text.substr(0, text.find(':'));
  }
  boost::system::error_code error;
  const ip::address address = ip::make_address(std::string(text), error);
  if (error) return std::nullopt;
  if (address.is_v6() && address.to_v6().is_v4_mapped()) {
    return ip::make_address_v4(ip::v4_mapped, address.to_v6());
  }
  return address;
}

NetworkList::NetworkList(const std::vector<std::string>& entries, const std::string& setting) {
  for (const std::string& entry : entries) {
    const std::size_t slash = entry.find('/');
    const auto address = parse_address(std::string_view(entry).substr(0, slash));
    int bits = address && address->is_v4() ? 32 : 128;
    bool good = address.has_value();
    if (good && slash != entry.npos) {
      const int most = bits;
      const char* begin = entry.data() + slash + 1;
      const char* end = entry.data() + entry.size();
      const auto [stop, error] = std::from_chars(begin, end, bits);
      good = error == std::errc() && stop == end && begin != end && bits >= 0 && bits <= most;
    }
    if (!good) {
      throw Error(ErrorCode::kInvalidArgument, setting + ": '" + entry +
                                                   "' is neither an address nor a network such as "
                                                   "10.0.0.0/8");
    }
    networks_.push_back({bytes_of(*address), bits + (address->is_v4() ? kMappedBits : 0)});
  }
}

bool NetworkList::contains(const ip::address& address) const {
  const ip::address_v6::bytes_type bytes = bytes_of(address);
  return std::any_of(networks_.begin(), networks_.end(), [&](const Network& network) {
    return same_prefix(network.prefix, bytes, network.bits);
  });
}

bool NetworkList::contains(std::string_view address) const {
  const auto parsed = parse_address(address);
  return parsed && contains(*parsed);
}

std::string client_address(const http::Request& request, const NetworkList& trusted_proxies) {
  std::string address = request.remote_address;
  if (!trusted_proxies.contains(address)) return address;
  std::vector<std::string_view> hops = listed(request, "Forwarded");
  std::transform(hops.begin(), hops.end(), hops.begin(), forwarded_for);
  if (hops.empty()) hops = listed(request, "X-Forwarded-For");
  for (auto hop = hops.rbegin(); hop != hops.rend(); ++hop) {
    const auto parsed = parse_address(*hop);
    if (!parsed) break;  // "unknown", or nonsense: the proxy itself is all that is known
    address = parsed->to_string();
    if (!trusted_proxies.contains(*parsed)) break;
  }
  return address;
}

std::string caller_of_address(const std::string& address) {
  const auto parsed = parse_address(address);
  if (!parsed || parsed->is_v4()) return address;
  ip::address_v6::bytes_type bytes = parsed->to_v6().to_bytes();
  std::fill(bytes.begin() + 8, bytes.end(), static_cast<unsigned char>(0));
  return ip::address_v6(bytes).to_string() + "/64";
}

}  // namespace itemcrop::service
