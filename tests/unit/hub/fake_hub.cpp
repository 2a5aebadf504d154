#include "fake_hub.h"

#include <openssl/evp.h>

namespace itemcrop::test {
namespace {

bool is_large(const std::string& name) { return name.ends_with(".safetensors"); }

}  // namespace

std::string FakeHub::hash_of(const std::string& name, const std::string& content) {
  const bool large = is_large(name);
  std::string text = content;
  if (!large) {
    text = "blob " + std::to_string(content.size());
    text += '\0';
    text += content;
  }
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  EVP_Digest(text.data(), text.size(), digest, &size, large ? EVP_sha256() : EVP_sha1(), nullptr);
  std::string hex;
  for (unsigned i = 0; i < size; ++i) {
    hex += "0123456789abcdef"[digest[i] >> 4];
    hex += "0123456789abcdef"[digest[i] & 15];
  }
  return hex;
}

FakeHub::FakeHub()
    : files{{"config.json", R"({"model_type": "grounding-dino"})"},
            {"preprocessor_config.json", "{}"},
            {"tokenizer.json", R"({"model": {}})"},
            {"README.md", "# Closet"},
            {"pytorch_model.bin", "pickle"},
            {"model.safetensors", std::string(300'000, 'w') + "end"}},
      cdn_(
          [this](const HttpServerRequest& request, HttpServerConnection& connection) {
            if (misbehave && misbehave(request, connection)) return;
            const std::string name = request.target.substr(1, request.target.find('?') - 1);
            deliver(request, connection, files.at(name), "");
          },
          "127.0.0.2"),
      hub_([this](const HttpServerRequest& request, HttpServerConnection& connection) {
        answer(request, connection);
      }) {}

void FakeHub::answer(const HttpServerRequest& request, HttpServerConnection& connection) {
  if (misbehave && misbehave(request, connection)) return;
  const auto authorization = request.headers.find("authorization");
  if (!token.empty() &&
      (authorization == request.headers.end() || authorization->second != "Bearer " + token)) {
    connection.respond(refusal, request.method == "HEAD" ? "" : "no",
                       request.method == "HEAD" ? "Content-Length: 2\r\n" : "");
    return;
  }
  const std::string resolve = std::string("/Some-One/closet/resolve/") + kCommit + "/";
  if (request.target == "/api/models/Some-One/closet/revision/main" ||
      request.target == "/api/models/Some-One/closet/revision/refs%2Fpr%2F1") {
    std::string siblings;
    for (const auto& [name, content] : files) {
      siblings += (siblings.empty() ? "" : ",") + (R"({"rfilename": ")" + name + "\"}");
    }
    connection.respond(200, std::string(R"({"id": "Some-One/closet", "sha": ")") + kCommit +
                                R"(", "siblings": [)" + siblings + "]}");
    return;
  }
  // A renamed model: the hub redirects within itself.
  if (request.target.starts_with("/api/models/Old/name/")) {
    connection.respond(307, "", "Location: /api/models/Some-One/closet/revision/main\r\n");
    return;
  }
  if (request.target.starts_with("/Old/name/resolve/")) {
    connection.respond(307, "", "Location: /Some-One/closet" + request.target.substr(9) + "\r\n");
    return;
  }
  const bool known = request.target.starts_with(resolve);
  const auto file = known ? files.find(request.target.substr(resolve.size())) : files.end();
  if (file == files.end()) {
    connection.respond(404, request.method == "HEAD" ? "" : "no");
    return;
  }
  const std::string hash = hash_of(file->first, file->second);
  if (is_large(file->first)) {
    connection.respond(302, "",
                       "Location: " + cdn_.url("/" + file->first + "?signature=abc") +
                           "\r\nETag: \"of-the-redirect\"\r\nX-Linked-Etag: \"" + hash +
                           "\"\r\nX-Linked-Size: " + std::to_string(file->second.size()) + "\r\n");
  } else {
    deliver(request, connection, file->second, "ETag: W/\"" + hash + "\"\r\n");
  }
}

void FakeHub::deliver(const HttpServerRequest& request, HttpServerConnection& connection,
                      const std::string& content, const std::string& headers) {
  if (request.method == "HEAD") {
    connection.send("HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(content.size()) +
                    "\r\n" + headers + "\r\n");
    return;
  }
  const auto range = request.headers.find("range");
  if (range == request.headers.end()) {
    connection.respond(200, content, headers);
    return;
  }
  const std::size_t begin = std::stoul(range->second.substr(6));
  if (begin >= content.size()) {
    connection.respond(416, "");
    return;
  }
  connection.respond(206, content.substr(begin),
                     headers + "Content-Range: bytes " + std::to_string(begin) + "-" +
                         std::to_string(content.size() - 1) + "/" + std::to_string(content.size()) +
                         "\r\n");
}

}  // namespace itemcrop::test
