// A URL from a stranger: an Error, or a URL that reads the same again, whose host is either a plain
// name or an address that the policy decides over.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "itemcrop/error.h"

#include "fetch/public_url.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace itemcrop;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    const fetch::PublicUrl url = fetch::parse_public_url(text);
    const bool web = url.text.starts_with("http://") || url.text.starts_with("https://");
    if (!web || url.host.empty() || url.port < 1 || url.port > 65535) std::abort();
    if (url.host.find_first_of("@/?#\\% \t\r\n") != std::string::npos) std::abort();
    if (url.literal.has_value() != fetch::IpAddress::parse(url.host).has_value()) std::abort();
    // Encoding may have made it longer than what is accepted; else it must be stable.
    if (url.text.size() <= fetch::kMaxUrlBytes) {
      const fetch::PublicUrl again = fetch::parse_public_url(url.text);
      if (again.host != url.host || again.port != url.port || again.text != url.text) std::abort();
    }
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kInvalidArgument && error.code() != ErrorCode::kLimitExceeded) {
      std::abort();
    }
  }
  return 0;
}
