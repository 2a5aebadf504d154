#include "service/requests/authenticator.h"

#include <span>
#include <string_view>

#include <openssl/crypto.h>
#include <openssl/sha.h>

#include "core/ascii.h"
#include "core/hexadecimal.h"
#include "service/http/http_error.h"

namespace itemcrop::service {
namespace {

std::string digest_of(std::string_view key) {
  std::string digest(SHA256_DIGEST_LENGTH, '\0');
  SHA256(reinterpret_cast<const unsigned char*>(key.data()), key.size(),
         reinterpret_cast<unsigned char*>(digest.data()));
  return digest;
}

std::string_view presented_key(const http::Request& head) {
  const std::string_view authorization = head.header("Authorization");
  constexpr std::string_view kBearer = "Bearer ";
  if (authorization.size() > kBearer.size() &&
      same_word(authorization.substr(0, kBearer.size()), kBearer)) {
    return authorization.substr(kBearer.size());
  }
  return head.header("X-API-Key");
}

}  // namespace

Authenticator::Authenticator(const Settings& settings)
    : wrong_keys_(static_cast<double>(settings.wrong_keys_per_minute) / 60,
                  static_cast<double>(settings.wrong_keys_per_minute)) {
  for (const std::string& key : settings.api_keys) key_digests_.push_back(digest_of(key));
}

std::string Authenticator::authenticate(const http::Request& head, const std::string& address) {
  if (key_digests_.empty()) return {};
  const std::string_view key = presented_key(head);
  if (key.empty()) {
    throw http::HttpError(401, ErrorCode::kForbidden,
                          "a key is needed: 'Authorization: Bearer KEY' or 'X-API-Key: KEY'");
  }
  // Digests have one length and every one is looked at, so time tells nothing.
  const std::string digest = digest_of(key);
  bool known = false;
  for (const std::string& each : key_digests_) {
    known |= CRYPTO_memcmp(each.data(), digest.data(), digest.size()) == 0;
  }
  if (!known) {
    // A right key is never refused for wrong ones: many callers share an address behind a proxy or
    // NAT. What keeps keys from being guessed is their length, which the start looks at.
    if (!wrong_keys_.try_take(address)) {
      throw Error(ErrorCode::kOverloaded,
                  "wrong_keys_per_minute: too many wrong keys came from this address")
          .with_retry_after(wrong_keys_.retry_after_seconds());
    }
    throw Error(ErrorCode::kForbidden, "the key is not known here");
  }
  return hexadecimal(std::as_bytes(std::span(digest)));
}

}  // namespace itemcrop::service
