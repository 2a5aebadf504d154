#include "store/aws_keys.h"

#include <algorithm>
#include <array>
#include <ctime>
#include <fstream>
#include <iterator>
#include <mutex>
#include <string_view>
#include <utility>

#include <nlohmann/json.hpp>

#include "core/ascii.h"
#include "fetch/http_client.h"
#include "store/store.h"

namespace itemcrop::store {

/// Has linkage, as AwsKeyChain::State, which holds one.
struct TimedKeys {
  AwsKeys keys;
  std::optional<std::chrono::system_clock::time_point> end;  ///< none: they hold for good
};

namespace {

using WallTime = std::chrono::system_clock::time_point;

constexpr std::size_t kMaxCredentialsBytes = 64 * 1024;
/// A place that failed while the keys at hand still hold is not asked again before that.
constexpr std::chrono::seconds kPauseAfterFailure{30};
constexpr const char* kContainerAddress = "http://169.254.170.2";
constexpr const char* kMachineAddress = "http://169.254.169.254";
/// Where plain http to a container's credentials stays on the machine.
constexpr std::array<std::string_view, 6> kContainerHosts = {
    "169.254.170.2", "169.254.170.23", "[fd00:ec2::23]", "127.0.0.1", "localhost", "[::1]"};

std::string url_encoded(std::string_view text) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string encoded;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '_' || c == '.' || c == '~';
    if (plain) {
      encoded += c;
      continue;
    }
    const auto byte = static_cast<unsigned char>(c);
    encoded += {'%', kDigits[byte >> 4U], kDigits[byte & 15U]};
  }
  return encoded;
}

/// The text of an XML element whose name is used once.
std::string element_of(const std::string& document, const std::string& name) {
  const std::string open = "<" + name + ">";
  const std::size_t begin = document.find(open);
  const std::size_t end = document.find("</" + name + ">");
  if (begin == std::string::npos || end == std::string::npos || end < begin) return {};
  return document.substr(begin + open.size(), end - begin - open.size());
}

/// "2026-11-30T15:04:05Z".
std::optional<WallTime> parse_time(const std::string& text) {
  std::tm time{};
  const char* rest = ::strptime(text.c_str(), "%Y-%m-%dT%H:%M:%S", &time);
  if (rest == nullptr) return std::nullopt;
  return std::chrono::system_clock::from_time_t(::timegm(&time));
}

std::optional<AwsKeys> keys_in_profile(const std::string& file, const std::string& profile) {
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

std::string content_of(const std::string& file, const std::string& named_by) {
  std::ifstream in(file);
  std::string content = tidy(std::string(std::istreambuf_iterator<char>(in), {}));
  if (content.empty()) throw RefusedError("store: the file that " + named_by + " names is empty");
  return content;
}

TimedKeys checked(TimedKeys found, const std::string& place) {
  if (found.keys.access_key.empty() || found.keys.secret_key.empty()) {
    throw Error(ErrorCode::kUnavailable, "store: " + place + " gave no keys");
  }
  return found;
}

/// What containers' and machines' services answer.
TimedKeys keys_in_json(const std::string& text, const std::string& place) {
  const nlohmann::json json = nlohmann::json::parse(text, nullptr, false);
  const auto field = [&](const char* name) {
    if (!json.is_object() || !json.contains(name) || !json[name].is_string()) return std::string();
    return json[name].get<std::string>();
  };
  return checked({{field("AccessKeyId"), field("SecretAccessKey"), field("Token")},
                  parse_time(field("Expiration"))},
                 place);
}

/// "http://HOST:PORT/..." -> "HOST", an IPv6 address in its brackets.
std::string host_of(const std::string& url) {
  const std::string origin = fetch::origin_of(url);
  const std::size_t begin = origin.find("://");
  if (begin == origin.npos) return {};
  const std::string host = origin.substr(begin + 3);
  const std::size_t bracket = host.find(']');
  return host.substr(0, bracket == host.npos ? host.find(':') : bracket + 1);
}

}  // namespace

class AwsKeyChain::State {
 public:
  explicit State(AwsKeyChainOptions options) : options_(std::move(options)) {}

  AwsKeys keys(const std::stop_token& stop) {
    const std::lock_guard lock(mutex_);
    const WallTime now = options_.now();
    if (have_ && (!have_->end || now < *have_->end - options_.renew_before || now < next_try_)) {
      return have_->keys;
    }
    try {
      have_ = find(stop);
    } catch (const Error&) {
      if (!have_ || now >= *have_->end) throw;
      next_try_ = std::min(now + kPauseAfterFailure, *have_->end);
    }
    return have_->keys;
  }

 private:
  std::string variable(const std::string& name) const {
    return options_.variable ? options_.variable(name).value_or("") : std::string();
  }

  TimedKeys find(const std::stop_token& stop) const {
    AwsKeys fixed{variable("AWS_ACCESS_KEY_ID"), variable("AWS_SECRET_ACCESS_KEY"),
                  variable("AWS_SESSION_TOKEN")};
    if (!fixed.access_key.empty() && !fixed.secret_key.empty()) {
      return {std::move(fixed), std::nullopt};
    }
    if (!variable("AWS_WEB_IDENTITY_TOKEN_FILE").empty() && !variable("AWS_ROLE_ARN").empty()) {
      return by_web_identity(stop);
    }
    if (auto profile = by_profile()) return {std::move(*profile), std::nullopt};
    if (!container_url().empty()) return of_container(stop);
    if (lower(variable("AWS_EC2_METADATA_DISABLED")) != "true") {
      if (auto machine = of_machine(stop)) return *machine;
    }
    throw RefusedError(
        "store: no S3 keys: set s3_access_key and s3_secret_key, or give them as AWS's tools take "
        "them (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, ~/.aws/credentials, a web identity, a "
        "container's or a machine's role)");
  }

  std::optional<AwsKeys> by_profile() const {
    std::string file = variable("AWS_SHARED_CREDENTIALS_FILE");
    if (file.empty()) {
      const std::string home = variable("HOME");
      if (home.empty()) return std::nullopt;
      file = home + "/.aws/credentials";
    }
    const std::string profile = variable("AWS_PROFILE");
    return keys_in_profile(file, profile.empty() ? "default" : profile);
  }

  fetch::HttpResponse send(fetch::HttpRequest request, const std::string& place,
                           const std::stop_token& stop) const {
    request.max_response_bytes = kMaxCredentialsBytes;
    fetch::HttpResponse response;
    try {
      response = client_.send(request, stop);
    } catch (const Error& error) {
      throw Error(error.code(), "store: " + place + ": " + error.what());
    }
    if (response.ok()) return response;
    const std::string message =
        "store: " + place + " answered with status " + std::to_string(response.status);
    if (response.status >= 500 || response.status == 429) {
      throw Error(ErrorCode::kUnavailable, message);
    }
    throw RefusedError(message);
  }

  TimedKeys by_web_identity(const std::stop_token& stop) const {
    const std::string place = "AWS STS (AWS_ROLE_ARN, AWS_WEB_IDENTITY_TOKEN_FILE)";
    std::string region = variable("AWS_REGION");
    if (region.empty()) region = variable("AWS_DEFAULT_REGION");
    if (region.empty()) region = options_.region;
    std::string session = variable("AWS_ROLE_SESSION_NAME");
    if (session.empty()) session = "itemcrop";
    fetch::HttpRequest request;
    request.method = "POST";
    request.url = variable("AWS_ENDPOINT_URL_STS");
    if (request.url.empty()) request.url = "https://sts." + region + ".amazonaws.com/";
    request.headers = {{"Content-Type", "application/x-www-form-urlencoded"}};
    request.body = "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=" +
                   url_encoded(variable("AWS_ROLE_ARN")) +
                   "&RoleSessionName=" + url_encoded(session) + "&WebIdentityToken=" +
                   url_encoded(content_of(variable("AWS_WEB_IDENTITY_TOKEN_FILE"),
                                          "AWS_WEB_IDENTITY_TOKEN_FILE"));
    request.deadline = options_.sts_timeout;
    const std::string answer = send(std::move(request), place, stop).body;
    return checked({{element_of(answer, "AccessKeyId"), element_of(answer, "SecretAccessKey"),
                     element_of(answer, "SessionToken")},
                    parse_time(element_of(answer, "Expiration"))},
                   place);
  }

  std::string container_url() const {
    const std::string relative = variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    return relative.empty() ? variable("AWS_CONTAINER_CREDENTIALS_FULL_URI")
                            : kContainerAddress + relative;
  }

  TimedKeys of_container(const std::stop_token& stop) const {
    const std::string place = "the container's credentials (AWS_CONTAINER_CREDENTIALS_…_URI)";
    fetch::HttpRequest request;
    request.url = container_url();
    const std::string host = host_of(request.url);
    const bool local =
        std::find(kContainerHosts.begin(), kContainerHosts.end(), host) != kContainerHosts.end();
    if (!request.url.starts_with("https://") && !local) {
      throw RefusedError(
          "store: AWS_CONTAINER_CREDENTIALS_FULL_URI must be https, or lead to this machine");
    }
    const std::string file = variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
    const std::string token = file.empty()
                                  ? variable("AWS_CONTAINER_AUTHORIZATION_TOKEN")
                                  : content_of(file, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
    if (!token.empty()) request.headers = {{"Authorization", token}};
    request.deadline = options_.metadata_timeout;
    return keys_in_json(send(std::move(request), place, stop).body, place);
  }

  /// None where there is no such service: the machine is not one of AWS's, or has no role.
  std::optional<TimedKeys> of_machine(const std::stop_token& stop) const {
    const std::string place = "the instance metadata service";
    std::string address = variable("AWS_EC2_METADATA_SERVICE_ENDPOINT");
    if (address.empty()) address = kMachineAddress;
    while (address.ends_with('/')) address.pop_back();
    fetch::HttpRequest request;
    request.deadline = options_.metadata_timeout;
    try {
      request.method = "PUT";
      request.url = address + "/latest/api/token";
      request.headers = {{"X-aws-ec2-metadata-token-ttl-seconds", "300"}};
      const std::string token = tidy(send(request, place, stop).body);
      request.method = "GET";
      request.headers = {{"X-aws-ec2-metadata-token", token}};
      request.url = address + "/latest/meta-data/iam/security-credentials/";
      const std::string roles = send(request, place, stop).body;
      request.url += tidy(roles.substr(0, roles.find('\n')));
    } catch (const Error& error) {
      if (error.code() == ErrorCode::kCancelled || have_) throw;
      return std::nullopt;
    }
    return keys_in_json(send(std::move(request), place, stop).body, place);
  }

  const AwsKeyChainOptions options_;
  const fetch::HttpClient client_;
  std::mutex mutex_;
  std::optional<TimedKeys> have_;
  WallTime next_try_{};
};

AwsKeyChain::AwsKeyChain(AwsKeyChainOptions options)
    : state_(std::make_unique<State>(std::move(options))) {}

AwsKeyChain::~AwsKeyChain() = default;

AwsKeys AwsKeyChain::keys(const std::stop_token& stop) { return state_->keys(stop); }

}  // namespace itemcrop::store
