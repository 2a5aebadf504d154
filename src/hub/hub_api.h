#pragma once

#include <cstdint>
#include <filesystem>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "fetch/http_client.h"
#include "fetch/retry.h"
#include "hub/pull.h"

namespace itemcrop::hub {

struct Repository {
  std::string commit;
  std::vector<std::string> files;
};

/// What the hub says about one file.
struct RemoteFile {
  std::string name;
  std::string hash;  ///< is_content_hash
  std::uint64_t size = 0;
  std::string url;  ///< where to ask for it
};

/// The hub's HTTP interface. The token goes to the endpoint's own origin and nowhere else.
class HubApi {
 public:
  HubApi(const PullOptions& options, std::string model, std::string revision);

  Repository repository(const std::stop_token& stop);
  RemoteFile file(const std::string& commit, const std::string& name, const std::stop_token& stop);

  /// Sends, following redirects: at most five, never from https to http, with the token only while
  /// they stay at the endpoint. With `stay`, a redirect to elsewhere is the answer.
  fetch::HttpResponse send(fetch::HttpRequest request, bool stay,
                           const std::stop_token& stop) const;
  /// Throws what an answer other than 2xx or 3xx means.
  void check(const fetch::HttpResponse& response) const;

 private:
  fetch::HttpResponse ask(const std::string& method, const std::string& url, bool stay,
                          const std::stop_token& stop);

  const PullOptions& options_;
  const std::string model_;
  const std::string revision_;
  std::string endpoint_;  ///< without a final slash
  std::string origin_;
  fetch::HttpClient client_;
  fetch::RetryBudget budget_;
  fetch::RetryClock clock_;
};

/// The shards that a model.safetensors.index.json names. Throws Error(kCorruptModel).
std::vector<std::string> shards_of_index(const std::filesystem::path& index);

}  // namespace itemcrop::hub
