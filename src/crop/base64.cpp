#include "crop/base64.h"

#include <array>

#include <openssl/evp.h>

namespace itemcrop::crop {

std::string base64(std::span<const std::byte> bytes) {
  std::string text((bytes.size() + 2) / 3 * 4 + 1, '\0');  // OpenSSL ends it with a zero
  const int length = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()),
                                     reinterpret_cast<const unsigned char*>(bytes.data()),
                                     static_cast<int>(bytes.size()));
  text.resize(static_cast<std::size_t>(length));
  return text;
}

std::optional<std::vector<std::byte>> decode_base64(std::string_view text) {
  if (text.starts_with("data:")) {
    const std::size_t comma = text.substr(0, 256).find(',');
    if (comma == text.npos || !text.substr(0, comma).ends_with(";base64")) return std::nullopt;
    text.remove_prefix(comma + 1);
  }
  // Decoded by the block, so that a large text is not copied to be cleaned.
  std::vector<std::byte> bytes(base64_decoded_bound(text.size()));
  std::array<unsigned char, 4096> block;
  std::size_t filled = 0;
  std::size_t decoded = 0;
  const auto decode = [&] {
    const int length = EVP_DecodeBlock(reinterpret_cast<unsigned char*>(&bytes[decoded]),
                                       block.data(), static_cast<int>(filled));
    decoded += filled / 4 * 3;
    filled = 0;
    return length >= 0;
  };
  std::size_t padding = 0;
  for (const char c : text) {
    if (c == ' ' || c == '\n' || c == '\r' || c == '\t') continue;
    if (c == '=') {
      if (++padding > 2) return std::nullopt;
      continue;
    }
    if (padding > 0) return std::nullopt;
    block[filled++] = static_cast<unsigned char>(c == '-' ? '+' : c == '_' ? '/' : c);
    if (filled == block.size() && !decode()) return std::nullopt;
  }
  const std::size_t missing = (4 - filled % 4) % 4;
  if (missing == 3 || (padding > 0 && padding != missing)) return std::nullopt;
  while (filled % 4 != 0) block[filled++] = '=';
  if (filled > 0 && !decode()) return std::nullopt;
  bytes.resize(decoded - missing);
  return bytes;
}

}  // namespace itemcrop::crop
