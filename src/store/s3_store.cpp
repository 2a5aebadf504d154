#include "store/s3_store.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include <openssl/evp.h>

#include "itemcrop/error.h"

#include "core/hexadecimal.h"
#include "fetch/http_client.h"
#include "store/key.h"

namespace itemcrop::store {
namespace {

constexpr const char* kProbeKey = "itemcrop-check";
constexpr std::size_t kMaxAnswer = 64 * 1024;

std::string sha256_hex(std::span<const std::byte> bytes) {
  std::array<unsigned char, 32> digest{};
  unsigned size = 0;
  if (EVP_Digest(bytes.data(), bytes.size(), digest.data(), &size, EVP_sha256(), nullptr) != 1) {
    throw Error(ErrorCode::kInternal, "OpenSSL cannot compute SHA-256");
  }
  return hexadecimal(std::as_bytes(std::span(digest)));
}

/// The <Code> of an S3 error document: one word, nothing else of it is safe to show.
std::string error_code_of(const std::string& document) {
  constexpr std::string_view kOpen = "<Code>";
  const std::size_t begin = document.find(kOpen);
  if (begin == std::string::npos) return {};
  const std::size_t end = document.find("</Code>", begin);
  const std::string code = document.substr(
      begin + kOpen.size(), end == std::string::npos ? 0 : end - begin - kOpen.size());
  const bool word =
      code.size() <= 64 && std::all_of(code.begin(), code.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
      });
  return word ? code : std::string();
}

void replace_all(std::string& text, std::string_view what, std::string_view with) {
  for (std::size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += with.size()) {
    text.replace(at, what.size(), with);
  }
}

[[noreturn]] void refuse(const std::string& message) {
  throw Error(ErrorCode::kInvalidArgument, "S3 store: " + message);
}

void check_options(const S3StoreOptions& options) {
  const std::string origin = fetch::origin_of(options.endpoint);
  if (origin.empty() || options.endpoint.find_first_of("@?#") != std::string::npos) {
    refuse("endpoint must be an http or https URL without credentials or query");
  }
  const bool bucket = !options.bucket.empty() && options.bucket.find('/') == std::string::npos &&
                      is_key(options.bucket);
  if (!bucket) refuse("bucket must be a bucket's name, got '" + options.bucket + "'");
  if (!options.key_source && (options.access_key.empty() || options.secret_key.empty())) {
    refuse("access key and secret key must be given");
  }
  if (options.region.empty() || !is_key(options.region)) refuse("region is malformed");
  if (!options.prefix.empty() && !is_key(options.prefix + "x")) {
    refuse("prefix must be as a key's beginning, such as crops/");
  }
  if (!options.public_url.empty() && options.public_url.find("{key}") == std::string::npos) {
    refuse("public_url must hold {key}");
  }
  if (options.deadline.count() < 1) refuse("deadline must be at least 1 ms");
}

}  // namespace

struct S3Store::State {
  State(S3StoreOptions wanted, fetch::RetryClock time)
      : options(std::move(wanted)),
        clock(std::move(time)),
        budget(options.retry_budget),
        client({.environment_proxy = options.environment_proxy}) {
    std::string endpoint = options.endpoint;
    while (endpoint.ends_with('/')) endpoint.pop_back();
    if (options.virtual_host) {
      endpoint.insert(endpoint.find("://") + 3, options.bucket + ".");
    } else {
      endpoint += "/" + options.bucket;
    }
    bucket_url = endpoint;
  }

  fetch::HttpRequest request(const std::string& method, const std::string& url,
                             std::span<const std::byte> body, const std::stop_token& stop) const {
    const AwsKeys keys =
        options.key_source ? options.key_source(stop)
                           : AwsKeys{options.access_key, options.secret_key, options.session_token};
    fetch::HttpRequest request;
    request.method = method;
    request.url = url;
    request.body_view = body;
    request.deadline = options.deadline;
    request.max_response_bytes = kMaxAnswer;
    request.headers = {{"x-amz-content-sha256", sha256_hex(body)}};
    request.aws = fetch::AwsCredentials{options.region, "s3", keys.access_key, keys.secret_key,
                                        keys.session_token};
    return request;
  }

  fetch::HttpResponse send(const fetch::HttpRequest& request, const std::stop_token& stop) {
    try {
      return fetch::send_with_retries(client, request, options.retry, budget, clock, stop);
    } catch (const Error& error) {
      throw Error(error.code(), std::string("store: ") + error.what());
    }
  }

  [[noreturn]] void fail(const fetch::HttpResponse& response) const {
    const std::string code = error_code_of(response.body);
    throw Error(ErrorCode::kUnavailable,
                "store: bucket '" + options.bucket + "' answered with status " +
                    std::to_string(response.status) + (code.empty() ? "" : " (" + code + ")"));
  }

  /// One try. Throws only where the bucket did not answer.
  fetch::HttpResponse ask(const fetch::HttpRequest& request, const std::stop_token& stop) const {
    try {
      return client.send(request, stop);
    } catch (const Error& error) {
      throw Error(error.code(), std::string("store: ") + error.what());
    }
  }

  fetch::HttpRequest put_request(const std::string& full, std::span<const std::byte> bytes,
                                 std::string_view content_type, const std::stop_token& stop) const {
    fetch::HttpRequest put = request("PUT", bucket_url + "/" + full, bytes, stop);
    put.headers.emplace_back("Content-Type", content_type);
    if (!options.acl.empty()) put.headers.emplace_back("x-amz-acl", options.acl);
    if (!options.cache_control.empty()) {
      put.headers.emplace_back("Cache-Control", options.cache_control);
    }
    return put;
  }

  std::string put(const std::string& key, std::span<const std::byte> bytes,
                  std::string_view content_type, const std::stop_token& stop) {
    const std::string full = options.prefix + key;
    check_key(full);
    const fetch::HttpRequest request = put_request(full, bytes, content_type, stop);
    const fetch::HttpResponse response = send(request, stop);
    if (!response.ok()) fail(response);
    if (options.public_url.empty()) return request.url;
    std::string url = options.public_url;
    replace_all(url, "{bucket}", options.bucket);
    replace_all(url, "{key}", full);
    return url;
  }

  const S3StoreOptions options;
  const fetch::RetryClock clock;
  fetch::RetryBudget budget;
  const fetch::HttpClient client;
  std::string bucket_url;  ///< without a final slash
};

S3Store::S3Store(S3StoreOptions options, fetch::RetryClock clock) {
  check_options(options);
  state_ = std::make_unique<State>(std::move(options), std::move(clock));
}

S3Store::~S3Store() = default;

std::string S3Store::put(const std::string& key, std::span<const std::byte> bytes,
                         std::string_view content_type, std::stop_token stop) {
  check_key(key);
  return state_->put(key, bytes, content_type, stop);
}

void S3Store::check(std::stop_token stop) {
  fetch::HttpResponse response =
      state_->ask(state_->request("HEAD", state_->bucket_url, {}, stop), stop);
  // Keys that may only write, and servers that know no HEAD of a bucket. An error document, which
  // says more than a status, comes with a PUT only.
  if (!response.ok() && !fetch::is_transient(response.status)) {
    constexpr std::string_view kText = "itemcrop";
    response = state_->ask(state_->put_request(state_->options.prefix + kProbeKey,
                                               std::as_bytes(std::span(kText)), "text/plain", stop),
                           stop);
  }
  if (response.ok()) return;
  const bool passes = response.status >= 500 || fetch::is_transient(response.status);
  try {
    state_->fail(response);
  } catch (const Error& error) {
    if (passes) throw;
    throw RefusedError(error.what());
  }
}

}  // namespace itemcrop::store
