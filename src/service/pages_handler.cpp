#include "service/pages_handler.h"

#include <algorithm>
#include <cerrno>

#include <unistd.h>

#include "service/requests/failure.h"
#include "service/web/embedded_files.h"

namespace itemcrop::service {
namespace {

/// 304 if the client has this version already.
bool is_known(const http::Request& request, std::string_view etag) {
  const std::string_view known = request.header("If-None-Match");
  return !known.empty() && (known == "*" || known.find(etag) != known.npos);
}

std::string read_whole(const store::StoredFile& stored) {
  std::string bytes(stored.size, '\0');
  std::size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t count = ::read(stored.file.get(), bytes.data() + done, bytes.size() - done);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) throw Error(ErrorCode::kIo, "a stored file cannot be read");
    done += static_cast<std::size_t>(count);
  }
  return bytes;
}

/// The pages need nothing from elsewhere, but for crops that were put into a bucket.
std::string page_policy(const Settings& settings) {
  return "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
         "img-src 'self' blob: data:" +
         std::string(settings.store == "s3" ? " https: http:" : "") +
         "; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
}

}  // namespace

void PagesHandler::add_routes(Router& router) {
  const auto page = [this](http::Request& request, const Call&) { return embedded(request); };
  for (const char* pattern : {"/openapi.json", "/docs", "/docs/{*}", "/ui", "/ui/{*}"}) {
    router.add({"GET", pattern, Access::kOpen, Cost::kNone, page});
  }
  router.add(
      {"GET", "/files/{*}", Access::kOpen, Cost::kNone,
       [this](http::Request& request, const Call& call) { return file(request, call.argument); }});
}

Reply PagesHandler::embedded(const http::Request& request) const {
  const auto files = embedded_files();
  const auto found = std::find_if(files.begin(), files.end(), [&](const EmbeddedFile& file) {
    return file.route == request.path;
  });
  const bool page = request.path.starts_with("/ui");
  if (found == files.end() || (page && !parts_.settings.ui)) {
    throw Failure(404, ErrorCode::kNotFound, "there is nothing here");
  }
  http::Response response;
  response.headers = {{"ETag", std::string(found->etag)},
                      {"Cache-Control", "no-cache"},
                      {"Referrer-Policy", "no-referrer"},
                      {"Content-Security-Policy", page_policy(parts_.settings)}};
  response.content_type = std::string(found->content_type);
  if (is_known(request, found->etag)) {
    response.status = 304;
  } else {
    response.body = std::string(found->content);
  }
  co_return response;
}

Reply PagesHandler::file(const http::Request& request, const std::string& key) const {
  if (parts_.files == nullptr) throw Failure(404, ErrorCode::kNotFound, "there is nothing here");
  http::Response response;
  response.headers = {{"Cache-Control", "public, max-age=31536000, immutable"},
                      {"Content-Security-Policy", "default-src 'none'; sandbox"}};
  co_await run_blocking(parts_.pool, [&] {
    const auto stored = parts_.files->open(key);
    if (stored == nullptr) throw Failure(404, ErrorCode::kNotFound, "there is no such file");
    const std::string etag =
        "\"" + std::to_string(stored->modified) + "-" + std::to_string(stored->size) + "\"";
    response.headers.push_back({"ETag", etag});
    response.content_type = std::string(stored->content_type);
    if (is_known(request, etag)) {
      response.status = 304;
    } else if (request.method == "HEAD") {
      response.content_length = stored->size;
    } else {
      response.body = read_whole(*stored);
    }
  });
  co_return response;
}

}  // namespace itemcrop::service
