#include "service/requests/base64.h"

#include <algorithm>

#include <openssl/evp.h>

namespace itemcrop::service {

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
  std::string plain;
  plain.reserve(text.size() + 4);
  std::size_t padding = 0;
  for (const char c : text) {
    if (c == ' ' || c == '\n' || c == '\r' || c == '\t') continue;
    if (c == '=') {
      ++padding;
      continue;
    }
    if (padding > 0) return std::nullopt;
    plain.push_back(c == '-' ? '+' : c == '_' ? '/' : c);
  }
  const std::size_t missing = (4 - plain.size() % 4) % 4;
  if (padding > 2 || missing == 3 || (padding > 0 && padding != missing)) return std::nullopt;
  plain.append(missing, '=');
  std::vector<std::byte> bytes(plain.size() / 4 * 3);
  const int length = EVP_DecodeBlock(reinterpret_cast<unsigned char*>(bytes.data()),
                                     reinterpret_cast<const unsigned char*>(plain.data()),
                                     static_cast<int>(plain.size()));
  if (length < 0) return std::nullopt;
  bytes.resize(static_cast<std::size_t>(length) - std::min(bytes.size(), missing));
  return bytes;
}

}  // namespace itemcrop::service
