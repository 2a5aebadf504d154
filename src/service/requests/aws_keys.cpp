#include "service/requests/aws_keys.h"

#include <fstream>

#include "core/ascii.h"

namespace itemcrop::service {
namespace {

std::optional<AwsKeys> keys_in(const std::string& file, const std::string& profile) {
  std::ifstream in(file);
  AwsKeys keys;
  bool here = false;
  for (std::string line; std::getline(in, line);) {
    line = tidy(line);
    if (line.empty() || line.front() == '#' || line.front() == ';') continue;
    if (line.front() == '[') {
      here = line == "[" + profile + "]";
      continue;
    }
    const std::size_t equals = line.find('=');
    if (!here || equals == line.npos) continue;
    const std::string name = tidy(line.substr(0, equals));
    const std::string value = tidy(line.substr(equals + 1));
    if (name == "aws_access_key_id") keys.access_key = value;
    if (name == "aws_secret_access_key") keys.secret_key = value;
    if (name == "aws_session_token") keys.session_token = value;
  }
  if (keys.access_key.empty() || keys.secret_key.empty()) return std::nullopt;
  return keys;
}

}  // namespace

std::optional<AwsKeys> find_aws_keys(
    const std::function<std::optional<std::string>(const std::string&)>& variable) {
  AwsKeys keys{variable("AWS_ACCESS_KEY_ID").value_or(""),
               variable("AWS_SECRET_ACCESS_KEY").value_or(""),
               variable("AWS_SESSION_TOKEN").value_or("")};
  if (!keys.access_key.empty() && !keys.secret_key.empty()) return keys;
  auto file = variable("AWS_SHARED_CREDENTIALS_FILE");
  if (!file) {
    const auto home = variable("HOME");
    if (!home) return std::nullopt;
    file = *home + "/.aws/credentials";
  }
  return keys_in(*file, variable("AWS_PROFILE").value_or("default"));
}

}  // namespace itemcrop::service
