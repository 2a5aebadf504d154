#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "support/http_server.h"

namespace itemcrop::test {

/// A server that speaks the hub's API for the model Some-One/closet, and a second one, on another
/// address, that large files are redirected to, as the real hub does it.
class FakeHub {
 public:
  FakeHub();

  std::string url() const { return hub_.url(); }
  std::vector<HttpServerRequest> hub_requests() const { return hub_.requests(); }
  std::vector<HttpServerRequest> cdn_requests() const { return cdn_.requests(); }

  static constexpr const char* kCommit = "0123456789abcdef0123456789abcdef01234567";
  std::map<std::string, std::string> files;  ///< names ending in .safetensors are large
  std::string token;                         ///< asked for if not empty
  int refusal = 401;
  std::function<bool(const HttpServerRequest&, HttpServerConnection&)> misbehave;

  /// The content's name in the cache.
  static std::string hash_of(const std::string& name, const std::string& content);

 private:
  void answer(const HttpServerRequest& request, HttpServerConnection& connection);
  void deliver(const HttpServerRequest& request, HttpServerConnection& connection,
               const std::string& content, const std::string& headers);

  HttpServer cdn_;
  HttpServer hub_;
};

}  // namespace itemcrop::test
