#include "core/hexadecimal.h"

#include <cerrno>
#include <system_error>
#include <vector>

#include <sys/random.h>

#include "itemcrop/error.h"

namespace itemcrop {

std::string hexadecimal(std::span<const std::byte> bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  text.reserve(2 * bytes.size());
  for (const std::byte byte : bytes) {
    text += kDigits[std::to_integer<std::size_t>(byte >> 4)];
    text += kDigits[std::to_integer<std::size_t>(byte & std::byte{15})];
  }
  return text;
}

std::string random_hexadecimal(std::size_t bytes) {
  std::vector<std::byte> random(bytes);
  std::size_t have = 0;
  while (have < random.size()) {
    const ssize_t got = ::getrandom(random.data() + have, random.size() - have, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      throw Error(ErrorCode::kInternal,
                  "no random bytes: " + std::generic_category().message(errno));
    }
    have += static_cast<std::size_t>(got);
  }
  return hexadecimal(random);
}

}  // namespace itemcrop
