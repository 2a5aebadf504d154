#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "fetch/retry.h"
#include "store/aws_keys.h"
#include "store/store.h"

namespace itemcrop::store {

struct S3StoreOptions {
  /// "https://s3.eu-central-1.amazonaws.com", "http://minio:9000",
  /// "https://PROJECT.supabase.co/storage/v1/s3"
  std::string endpoint;
  std::string region = "us-east-1";
  std::string bucket;
  std::string access_key;
  std::string secret_key;
  std::string session_token;     ///< empty: none
  AwsKeySource key_source = {};  ///< asked before each request, instead of the three above
  bool virtual_host = false;     ///< bucket.host/key instead of host/bucket/key
  std::string prefix;            ///< put before keys: "crops/"; empty: none
  /// {bucket} and {key} are filled in, {key} with the prefix. Empty: where the object was put.
  std::string public_url;
  std::string acl;            ///< "public-read"; empty: the bucket's own
  std::string cache_control;  ///< "public, max-age=31536000, immutable"; empty: none
  std::chrono::milliseconds deadline{10'000};  ///< of one try
  fetch::RetryPolicy retry{.max_tries = 8};
  double retry_budget = 50;
  bool environment_proxy = false;
};

/// A bucket of AWS, Supabase, MinIO or whoever speaks S3. Requests are signed (SigV4); passing
/// failures are tried again with growing, random pauses. Messages carry no secret, signature or
/// credential.
class S3Store final : public Store {
 public:
  /// Throws Error(kInvalidArgument): names the option.
  explicit S3Store(S3StoreOptions options, fetch::RetryClock clock = fetch::system_retry_clock());
  ~S3Store() override;

  std::string put(const std::string& key, std::span<const std::byte> bytes,
                  std::string_view content_type, std::stop_token stop = {}) override;
  /// Asks once for the bucket; where that is refused, puts a small object, whose response counts.
  void check(std::stop_token stop = {}) override;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace itemcrop::store
