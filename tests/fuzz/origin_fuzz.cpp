#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "itemcrop/error.h"

#include "service/requests/origin_policy.h"

namespace {

using namespace itemcrop::service;

void must(bool holds) {
  if (!holds) std::abort();
}

/// On loopback, beyond it with keys and nothing named, and with names.
Settings settings_of(std::uint8_t choice) {
  Settings settings;
  switch (choice % 4) {
    case 1:
      settings.host = "0.0.0.0";
      settings.api_keys = {"a-long-enough-key"};
      break;
    case 2:
      settings.host = "::";
      settings.allow_anonymous = true;
      settings.hosts = {"box.lan", "192.0.2.7"};
      break;
    case 3:
      settings.public_url = "https://crop.example/";
      settings.cors_origins = {"https://app.example"};
      break;
    default:
      break;
  }
  return settings;
}

bool passes(const OriginPolicy& policy, void (OriginPolicy::*check)(const http::Request&) const,
            const http::Request& request) {
  try {
    (policy.*check)(request);
    return true;
  } catch (const itemcrop::Error& error) {
    must(error.code() == itemcrop::ErrorCode::kForbidden);
    return false;
  }
}

}  // namespace

/// The first byte chooses the settings, the first line is the Host, the second the Origin.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data + 1), size - 1);
  const std::size_t line = text.find('\n');
  const std::string host(text.substr(0, line));
  const std::string origin(line == text.npos ? std::string_view() : text.substr(line + 1));
  const Settings settings = settings_of(data[0]);
  const OriginPolicy policy(settings);
  http::Request request;
  request.method = "GET";
  request.local_address = "10.0.0.5";
  request.headers = {{"Host", host}, {"Origin", origin}};

  const bool own = passes(policy, &OriginPolicy::check_host, request);
  const std::string url = policy.base_url(request);
  if (!settings.public_url.empty()) {
    must(url == "https://crop.example");
  } else if (!url.empty()) {
    // What is in a URL was known before, but for its port.
    must(own && url == "http://" + host);
    must(host.find_first_of("/?#@\\ \t\r\n<>\"'%") == host.npos);
  }
  // A name alone is taken beyond loopback only where no page can be hurt: with keys.
  if (own && settings.api_keys.empty() && settings.hosts.empty()) {
    must(host.empty() || host.find("evil") == host.npos);
  }

  const bool may_call = passes(policy, &OriginPolicy::check_origin, request);
  for (const http::Header& header : policy.cors_headers(request)) {
    if (header.name == "Access-Control-Allow-Origin") must(may_call && header.value == origin);
  }

  // An origin that the settings take is one that may call, and no other may.
  if (!origin.empty() && origin != "*" && problem_of_origin(origin).empty()) {
    Settings listed = settings;
    listed.cors_origins = {origin};
    const OriginPolicy of_listed(listed);
    must(passes(of_listed, &OriginPolicy::check_origin, request));
    http::Request other = request;
    other.headers = {{"Host", "localhost"}, {"Origin", origin + "x"}};
    must(origin + "x" == "https://crop.example" ||
         !passes(of_listed, &OriginPolicy::check_origin, other) || origin == "http://localhos" ||
         origin == "https://localhos");
  }
  return 0;
}
