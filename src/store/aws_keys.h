#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>

namespace itemcrop::store {

struct AwsKeys {
  std::string access_key;
  std::string secret_key;
  std::string session_token;  ///< empty: none
};

/// Keys for the next request. Thread-safe. Throws Error.
using AwsKeySource = std::function<AwsKeys(const std::stop_token&)>;

struct AwsKeyChainOptions {
  /// getenv. What AWS's own tools read: AWS_ACCESS_KEY_ID and its like, AWS_ROLE_ARN,
  /// AWS_WEB_IDENTITY_TOKEN_FILE, AWS_PROFILE, AWS_SHARED_CREDENTIALS_FILE,
  /// AWS_CONTAINER_CREDENTIALS_FULL_URI and its like, AWS_EC2_METADATA_DISABLED ...
  std::function<std::optional<std::string>(const std::string&)> variable;
  std::string region = "us-east-1";                   ///< of STS, where AWS_REGION names none
  std::chrono::milliseconds metadata_timeout{2'000};  ///< of one question to a machine's service
  std::chrono::milliseconds sts_timeout{10'000};
  /// Keys are renewed so long before they end.
  std::chrono::seconds renew_before{300};
  std::function<std::chrono::system_clock::time_point()> now = std::chrono::system_clock::now;
};

/// The places where AWS's tools look for keys, in their order; the first that is configured counts:
///   1. AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN
///   2. a role by a web identity (EKS): AWS_WEB_IDENTITY_TOKEN_FILE and AWS_ROLE_ARN, asked of STS
///   3. the profile AWS_PROFILE of the file AWS_SHARED_CREDENTIALS_FILE (~/.aws/credentials)
///   4. a container's credentials (ECS, EKS Pod Identity): AWS_CONTAINER_CREDENTIALS_RELATIVE_URI
///   or
///      _FULL_URI, the latter by https or at an address that AWS gives to it
///   5. the role of the machine (EC2), by version 2 of the instance metadata service
/// Keys that end are kept until shortly before, and used to their end while no new ones can be had.
/// Messages hold no key and no token.
class AwsKeyChain {
 public:
  explicit AwsKeyChain(AwsKeyChainOptions options);
  ~AwsKeyChain();
  AwsKeyChain(const AwsKeyChain&) = delete;
  AwsKeyChain& operator=(const AwsKeyChain&) = delete;

  /// Blocks where keys have to be asked for. Throws RefusedError (no place has keys, or one that is
  /// configured refuses), Error(kUnavailable, kDeadlineExceeded, kCancelled).
  AwsKeys keys(const std::stop_token& stop = {});

 private:
  class State;
  std::unique_ptr<State> state_;
};

}  // namespace itemcrop::store
