#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "itemcrop/error.h"

#include "service/requests/client_address.h"

namespace {

using namespace itemcrop::service;

void must(bool holds) {
  if (!holds) std::abort();
}

std::string client_of(const std::string& peer, const std::vector<http::Header>& headers,
                      const NetworkList& proxies) {
  http::Request request;
  request.remote_address = peer;
  request.headers = headers;
  return client_address(request, proxies);
}

/// Whatever is accepted as a network holds the address that it was written with.
void check_network(const std::string& text) {
  try {
    const NetworkList list({text}, "trusted_proxies");
    const auto address = parse_address(std::string_view(text).substr(0, text.find('/')));
    must(address && list.contains(*address) && list.contains(address->to_string()));
  } catch (const itemcrop::Error& error) {
    must(error.code() == itemcrop::ErrorCode::kInvalidArgument);
  }
}

}  // namespace

/// Lines: each is a header's value, of X-Forwarded-For or, by the first byte, of Forwarded. The
/// last one is also read as a network.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  static const NetworkList proxies({"10.0.0.0/8", "fd00::/8", "192.0.2.7"}, "trusted_proxies");
  const char* const name = data[0] % 2 != 0 ? "Forwarded" : "X-Forwarded-For";
  std::string_view rest(reinterpret_cast<const char*>(data + 1), size - 1);
  std::vector<http::Header> headers;
  while (headers.size() < 20) {
    const std::size_t end = rest.find('\n');
    headers.push_back({name, std::string(rest.substr(0, end))});
    if (end == rest.npos) break;
    rest.remove_prefix(end + 1);
  }
  check_network(headers.back().value);

  // Nobody else is believed.
  must(client_of("203.0.113.1", headers, proxies) == "203.0.113.1");

  const std::string found = client_of("10.1.2.3", headers, proxies);
  const auto address = parse_address(found);
  must(address && address->to_string() == found);
  must(!caller_of_address(found).empty());

  // What stands before the entry of somebody that is not trusted was written by them.
  if (!proxies.contains(*address)) {
    headers.insert(headers.begin(), {name, "for=198.51.100.66, 198.51.100.67"});
    must(client_of("10.1.2.3", headers, proxies) == found);
  }
  return 0;
}
