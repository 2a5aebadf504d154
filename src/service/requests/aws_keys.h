#pragma once

#include <functional>
#include <optional>
#include <string>

namespace itemcrop::service {

struct AwsKeys {
  std::string access_key;
  std::string secret_key;
  std::string session_token;  ///< empty: none
};

/// The first two places where AWS's own tools look: AWS_ACCESS_KEY_ID and its like, then the
/// profile AWS_PROFILE ("default") of the file AWS_SHARED_CREDENTIALS_FILE (~/.aws/credentials).
std::optional<AwsKeys> find_aws_keys(
    const std::function<std::optional<std::string>(const std::string&)>& variable);

}  // namespace itemcrop::service
