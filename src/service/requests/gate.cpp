#include "service/requests/gate.h"

#include <algorithm>

#include <openssl/crypto.h>
#include <openssl/sha.h>

#include "core/ascii.h"
#include "core/hexadecimal.h"
#include "service/requests/failure.h"

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

Gate::Gate(const Settings& settings)
    : origins_(settings.cors_origins),
      rate_(settings.rate_limit),
      burst_(static_cast<double>(settings.rate_burst)) {
  for (const std::string& key : settings.api_keys) key_digests_.push_back(digest_of(key));
  any_origin_ = origins_.empty()
                    ? settings.loopback()
                    : std::find(origins_.begin(), origins_.end(), "*") != origins_.end();
}

std::string Gate::authenticate(const http::Request& head) const {
  if (key_digests_.empty()) return {};
  const std::string_view key = presented_key(head);
  if (key.empty()) {
    throw Failure(401, ErrorCode::kForbidden,
                  "a key is needed: 'Authorization: Bearer KEY' or 'X-API-Key: KEY'");
  }
  // Digests have one length and every one is looked at, so time tells nothing.
  const std::string digest = digest_of(key);
  bool known = false;
  for (const std::string& each : key_digests_) {
    known |= CRYPTO_memcmp(each.data(), digest.data(), digest.size()) == 0;
  }
  if (!known) throw Failure(403, ErrorCode::kForbidden, "the key is not known here");
  return hexadecimal(std::as_bytes(std::span(digest)));
}

void Gate::spend(const std::string& caller) {
  if (rate_ <= 0) return;
  const auto now = std::chrono::steady_clock::now();
  const std::lock_guard lock(mutex_);
  auto [found, is_new] = buckets_.try_emplace(caller);
  Bucket& bucket = found->second;
  if (is_new) {
    bucket.tokens = burst_;
    bucket.age = by_age_.insert(by_age_.end(), caller);
    if (buckets_.size() > kMaxBuckets) {
      buckets_.erase(by_age_.front());
      by_age_.pop_front();
    }
  } else {
    const double passed = std::chrono::duration<double>(now - bucket.filled).count();
    bucket.tokens = std::min(burst_, bucket.tokens + passed * rate_);
    by_age_.splice(by_age_.end(), by_age_, bucket.age);
  }
  bucket.filled = now;
  if (bucket.tokens < 1) {
    throw Failure(429, ErrorCode::kOverloaded, "more requests than rate_limit allows");
  }
  bucket.tokens -= 1;
}

std::vector<http::Header> Gate::cors_headers(const http::Request& head) const {
  const std::string_view origin = head.header("Origin");
  if (origin.empty()) return {};
  if (!any_origin_ && std::find(origins_.begin(), origins_.end(), origin) == origins_.end()) {
    return {{"Vary", "Origin"}};
  }
  std::vector<http::Header> headers = {
      {"Access-Control-Allow-Origin", any_origin_ ? "*" : std::string(origin)},
      {"Access-Control-Expose-Headers", "X-Request-ID, Retry-After"}};
  if (!any_origin_) headers.push_back({"Vary", "Origin"});
  if (head.method == "OPTIONS") {
    headers.push_back({"Access-Control-Allow-Methods", "GET, POST, DELETE, OPTIONS"});
    headers.push_back({"Access-Control-Allow-Headers",
                       "Authorization, Content-Type, Last-Event-ID, X-API-Key, X-Request-ID"});
    headers.push_back({"Access-Control-Max-Age", "86400"});
  }
  return headers;
}

std::string base_url_of(const http::Request& request, const Settings& settings) {
  if (!settings.public_url.empty()) {
    std::string url = settings.public_url;
    while (url.ends_with('/')) url.pop_back();
    return url;
  }
  const std::string_view host = request.header("Host");
  const bool plain =
      !host.empty() && host.size() <= 255 && std::all_of(host.begin(), host.end(), [](char c) {
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
               std::string_view(".-:[]_").find(c) != std::string_view::npos;
      });
  const std::string authority =
      plain ? std::string(host) : settings.host + ":" + std::to_string(settings.port);
  return (settings.tls() ? "https://" : "http://") + authority;
}

}  // namespace itemcrop::service
