#include "hub/hub_api.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <set>
#include <utility>

#include <nlohmann/json.hpp>

#include "itemcrop/error.h"

#include "hub/file_hash.h"

namespace itemcrop::hub {
namespace {

constexpr int kMaxRedirects = 5;
constexpr std::uint64_t kMaxAnswer = 16 << 20;
constexpr std::size_t kMaxFiles = 10'000;

bool is_redirect(const fetch::HttpResponse& response) {
  return response.status >= 300 && response.status < 400 && !response.redirect_url.empty();
}

std::string percent_encoded(const std::string& text) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string result;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       std::string_view("-_.~").find(c) != std::string_view::npos;
    if (plain) {
      result += c;
    } else {
      const auto byte = static_cast<unsigned char>(c);
      result += '%';
      result += kDigits[byte >> 4];
      result += kDigits[byte & 15];
    }
  }
  return result;
}

/// W/"abc" -> abc.
std::string etag_text(std::string_view etag) {
  if (etag.starts_with("W/")) etag.remove_prefix(2);
  if (etag.size() >= 2 && etag.front() == '"' && etag.back() == '"') {
    etag = etag.substr(1, etag.size() - 2);
  }
  return std::string(etag);
}

/// The names of a folder's own files that could be a checkpoint's.
bool is_file_name(const std::string& name) {
  return !name.empty() && name.size() <= 200 && name.front() != '.' &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '-' || c == '_' || c == '.';
         });
}

}  // namespace

HubApi::HubApi(const PullOptions& options, std::string model, std::string revision)
    : options_(options),
      model_(std::move(model)),
      revision_(std::move(revision)),
      endpoint_(options.endpoint),
      client_({.max_idle = 2, .environment_proxy = true}),
      clock_(fetch::system_retry_clock()) {
  while (endpoint_.ends_with('/')) endpoint_.pop_back();
  origin_ = fetch::origin_of(endpoint_);
  if (origin_.empty()) {
    throw Error(ErrorCode::kInvalidArgument, "HF_ENDPOINT must be an http or https URL");
  }
}

fetch::HttpResponse HubApi::send(fetch::HttpRequest request, bool stay,
                                 const std::stop_token& stop) const {
  const std::vector<fetch::Header> headers = request.headers;
  for (int redirects = 0;; ++redirects) {
    request.headers = headers;
    if (!options_.token.empty() && fetch::origin_of(request.url) == origin_) {
      request.headers.emplace_back("Authorization", "Bearer " + options_.token);
    }
    fetch::HttpResponse response = client_.send(request, stop);
    if (!is_redirect(response)) return response;
    const std::string target = fetch::origin_of(response.redirect_url);
    if (stay && target != origin_) return response;
    if (target.empty() || (origin_.starts_with("https://") && !target.starts_with("https://"))) {
      throw Error(ErrorCode::kForbidden, "the hub redirects to somewhere that is not https");
    }
    if (redirects == kMaxRedirects) {
      throw Error(ErrorCode::kUnavailable,
                  "the hub redirects more than " + std::to_string(kMaxRedirects) + " times");
    }
    request.url = response.redirect_url;
  }
}

void HubApi::check(const fetch::HttpResponse& response) const {
  if (response.status >= 200 && response.status < 400) return;
  const std::string what = model_ + " at revision " + revision_;
  // The hub's own word for why; it answers 401 for models that do not exist, too.
  const std::string_view code = response.header("X-Error-Code");
  const std::string status = " (status " + std::to_string(response.status) + ")";
  if (code == "GatedRepo" || response.status == 403) {
    throw Error(ErrorCode::kForbidden,
                "the hub does not give " + what + " to you" + status +
                    "; accept its terms on its page, and set HF_TOKEN to a token that may read it");
  }
  if (response.status == 401) {
    throw Error(ErrorCode::kForbidden,
                "the hub knows no public model " + what + status +
                    "; check the name, or set HF_TOKEN to a token that may read it");
  }
  if (response.status == 404) {
    throw Error(ErrorCode::kNotFound, "the hub has no " + what + status);
  }
  throw Error(ErrorCode::kUnavailable,
              "the hub answered " + what + " with status " + std::to_string(response.status));
}

fetch::HttpResponse HubApi::ask(const std::string& method, const std::string& url, bool stay,
                                const std::stop_token& stop) {
  fetch::HttpRequest request;
  request.method = method;
  request.url = url;
  request.max_response_bytes = kMaxAnswer;
  request.headers = {{"Accept-Encoding", "identity"}};
  fetch::RetrySchedule schedule(options_.retry, budget_, clock_);
  for (;;) {
    try {
      fetch::HttpResponse response = send(request, stay, stop);
      const auto wanted = fetch::retry_after(response.header("Retry-After"));
      if (fetch::is_transient(response.status) && schedule.pause(wanted, stop)) continue;
      check(response);
      return response;
    } catch (const Error& error) {
      if (!fetch::is_transient(error.code()) || !schedule.pause(std::nullopt, stop)) throw;
    }
  }
}

Repository HubApi::repository(const std::stop_token& stop) {
  const fetch::HttpResponse response =
      ask("GET", endpoint_ + "/api/models/" + model_ + "/revision/" + percent_encoded(revision_),
          false, stop);
  const nlohmann::json document = nlohmann::json::parse(response.body, nullptr, false);
  Repository repository;
  const auto fail = [] {
    throw Error(ErrorCode::kUnavailable, "the hub's answer about the model is malformed");
  };
  if (!document.is_object() || !document.contains("sha") || !document["sha"].is_string() ||
      !document.contains("siblings") || !document["siblings"].is_array()) {
    fail();
  }
  repository.commit = document["sha"];
  if (repository.commit.size() != 40 || !is_content_hash(repository.commit)) fail();
  if (document["siblings"].size() > kMaxFiles) fail();
  for (const auto& sibling : document["siblings"]) {
    if (!sibling.is_object() || !sibling.contains("rfilename")) fail();
    if (!sibling["rfilename"].is_string()) fail();
    const std::string name = sibling["rfilename"];
    if (is_file_name(name)) repository.files.push_back(name);
  }
  return repository;
}

RemoteFile HubApi::file(const std::string& commit, const std::string& name,
                        const std::stop_token& stop) {
  RemoteFile file;
  file.name = name;
  file.url = endpoint_ + "/" + model_ + "/resolve/" + commit + "/" + name;
  const fetch::HttpResponse response = ask("HEAD", file.url, true, stop);
  const std::string_view linked = response.header("X-Linked-Etag");
  file.hash = etag_text(linked.empty() ? response.header("ETag") : linked);
  std::string_view size = response.header("X-Linked-Size");
  if (size.empty()) size = response.header("Content-Length");
  const auto [end, problem] = std::from_chars(size.data(), size.data() + size.size(), file.size);
  if (!is_content_hash(file.hash) || size.empty() || problem != std::errc() ||
      end != size.data() + size.size()) {
    throw Error(ErrorCode::kUnavailable, "the hub says neither hash nor size of " + name);
  }
  return file;
}

std::vector<std::string> shards_of_index(const std::filesystem::path& index) {
  std::ifstream in(index, std::ios::binary);
  const nlohmann::json document = nlohmann::json::parse(in, nullptr, false);
  std::set<std::string> shards;
  const auto fail = [](const std::string& what) {
    throw Error(ErrorCode::kCorruptModel, "model.safetensors.index.json: " + what);
  };
  if (!document.is_object() || !document.contains("weight_map") ||
      !document["weight_map"].is_object()) {
    fail("weight_map must be an object");
  }
  for (const auto& [tensor, shard] : document["weight_map"].items()) {
    const bool good = shard.is_string() && is_file_name(shard.get<std::string>()) &&
                      shard.get<std::string>().ends_with(".safetensors");
    if (!good) fail("weight_map." + tensor.substr(0, 200) + " must be a .safetensors file's name");
    shards.insert(shard.get<std::string>());
  }
  return {shards.begin(), shards.end()};
}

}  // namespace itemcrop::hub
