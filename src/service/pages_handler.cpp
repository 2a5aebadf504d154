#include "service/pages_handler.h"

#include <algorithm>
#include <cerrno>
#include <span>
#include <utility>

#include <unistd.h>

#include "service/http/application.h"
#include "service/requests/error_reply.h"
#include "service/web/embedded_files.h"

namespace itemcrop::service {
namespace {

namespace asio = boost::asio;

/// 304 if the client has this version already.
bool is_known(const http::Request& request, std::string_view etag) {
  const std::string_view known = request.header("If-None-Match");
  return !known.empty() && (known == "*" || known.find(etag) != known.npos);
}

constexpr std::size_t kPiece = 64 * 1024;

/// A stored file, read piece by piece as its reader takes them.
class FileStream : public http::BodyStream {
 public:
  FileStream(std::unique_ptr<store::StoredFile> stored, Lease lease, asio::thread_pool& pool)
      : stored_(std::move(stored)), lease_(std::move(lease)), pool_(pool) {}

  asio::awaitable<std::optional<std::string>> next() override {
    std::string piece(kPiece, '\0');
    ssize_t count = 0;
    co_await run_blocking(pool_, [&] {
      do {
        count = ::read(stored_->file.get(), piece.data(), piece.size());
      } while (count < 0 && errno == EINTR);
    });
    if (count <= 0) co_return std::nullopt;  // the end, or too early: the length tells
    piece.resize(static_cast<std::size_t>(count));
    co_return piece;
  }

 private:
  std::unique_ptr<store::StoredFile> stored_;
  Lease lease_;
  asio::thread_pool& pool_;
};

/// The pages need nothing from elsewhere, but for crops that were put into a bucket.
std::string page_policy(const Settings& settings) {
  return "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
         "img-src 'self' blob: data:" +
         std::string(settings.store == "s3" ? " https: http:" : "") +
         "; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
}

}  // namespace

PagesHandler::PagesHandler(Parts parts) : parts_(std::move(parts)) {
  for (const EmbeddedFile& file : embedded_files()) {
    const auto bytes = std::as_bytes(std::span(file.content));
    contents_.push_back(std::make_shared<const std::vector<std::byte>>(bytes.begin(), bytes.end()));
  }
}

void PagesHandler::add_routes(Router& router) {
  const auto page = [this](http::Request& request, const Call&) { return embedded(request); };
  for (const char* pattern : {"/openapi.json", "/docs", "/docs/{*}", "/ui", "/ui/{*}"}) {
    router.add({"GET", pattern, Access::kOpen, Cost::kNone, page});
  }
  router.add({"GET", "/files/{*}", Access::kOpen, Cost::kNone,
              [this](http::Request& request, const Call& call) { return file(request, call); }});
}

Reply PagesHandler::embedded(const http::Request& request) const {
  const auto files = embedded_files();
  const auto found = std::find_if(files.begin(), files.end(), [&](const EmbeddedFile& file) {
    return file.route == request.path;
  });
  const bool page = request.path.starts_with("/ui");
  if (found == files.end() || (page && !parts_.settings.ui)) {
    throw http::HttpError(404, ErrorCode::kNotFound, "there is nothing here");
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
    response.body = contents_[static_cast<std::size_t>(found - files.begin())];
  }
  co_return response;
}

Reply PagesHandler::file(const http::Request& request, const Call& call) const {
  if (parts_.files == nullptr)
    throw http::HttpError(404, ErrorCode::kNotFound, "there is nothing here");
  http::Response response;
  response.headers = {{"Cache-Control", "public, max-age=31536000, immutable"},
                      {"Content-Security-Policy", "default-src 'none'; sandbox"}};
  co_await run_blocking(parts_.pool, [&] {
    auto stored = parts_.files->open(call.argument);
    if (stored == nullptr)
      throw http::HttpError(404, ErrorCode::kNotFound, "there is no such file");
    const std::string etag =
        "\"" + std::to_string(stored->modified) + "-" + std::to_string(stored->size) + "\"";
    response.headers.push_back({"ETag", etag});
    response.content_type = std::string(stored->content_type);
    if (is_known(request, etag)) {
      response.status = 304;
    } else {
      response.content_length = stored->size;
      if (request.method == "HEAD") return;
      // One piece is read while the one before is written.
      response.body = std::shared_ptr<http::BodyStream>(std::make_shared<FileStream>(
          std::move(stored), parts_.budgets.stream_bytes.take(2 * kPiece, call.caller),
          parts_.pool));
    }
  });
  co_return response;
}

}  // namespace itemcrop::service
