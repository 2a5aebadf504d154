#include <algorithm>
#include <cerrno>

#include <nlohmann/json.hpp>
#include <unistd.h>

#include "service/failure.h"
#include "service/json_answer.h"
#include "service/service.h"
#include "service/web/embedded_files.h"

namespace itemcrop::service {
namespace {

using Json = nlohmann::ordered_json;

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

Service::Reply Service::health(http::Request&, const std::string&) {
  co_return json_response({{"status", "ok"}});
}

Service::Reply Service::ready(http::Request&, const std::string&) {
  const std::string reason = why_not_ready();
  if (reason.empty()) co_return json_response({{"status", "ready"}});
  if (draining_) {
    throw scheduler::Refused(ErrorCode::kDraining, scheduler::Refusal::kDraining, 5, reason);
  }
  throw Failure(503, device_lost_ ? ErrorCode::kDeviceLost : ErrorCode::kUnavailable, reason);
}

Service::Reply Service::metrics(http::Request&, const std::string&) {
  http::Response response;
  co_await run_blocking(fetch_pool_, [&] {
    const jobs::JobCounts counts = job_store_->counts();
    metrics_->jobs("queued", static_cast<double>(counts.queued));
    metrics_->jobs("running", static_cast<double>(counts.running));
    metrics_->jobs("done", static_cast<double>(counts.done));
    metrics_->jobs("cancelled", static_cast<double>(counts.cancelled));
    for (const scheduler::DeviceStatus& device : scheduler_->status().devices) {
      metrics_->on_device(device.id, device.well, device.reason);
    }
    response.body = metrics_->text();
  });
  response.content_type = "text/plain; version=0.0.4; charset=utf-8";
  co_return response;
}

Service::Reply Service::models(http::Request&, const std::string&) {
  Json list = Json::array();
  std::vector<scheduler::ModelStatus> models = registry_->status();
  std::stable_partition(models.begin(), models.end(),
                        [](const auto& model) { return model.is_default; });
  for (const scheduler::ModelStatus& model : models) {
    const bool placed = !model.replicas.empty();
    list.push_back({{"name", model.name},
                    {"default", model.is_default},
                    {"device", placed ? to_string(model.replicas.front().device.device) : "auto"},
                    {"precision", placed ? to_string(model.replicas.front().precision) : "auto"},
                    {"parameters", model.info.parameters},
                    {"ready", model.state == scheduler::ModelState::kReady},
                    {"state", to_string(model.state)},
                    {"generation", model.generation},
                    {"reason", model.reason.empty() ? Json(nullptr) : Json(model.reason)}});
  }
  co_return json_response({{"models", std::move(list)}});
}

Service::Reply Service::embedded(http::Request& request, const std::string&) {
  const auto files = embedded_files();
  const auto found = std::find_if(files.begin(), files.end(), [&](const EmbeddedFile& file) {
    return file.route == request.path;
  });
  const bool page = request.path.starts_with("/ui");
  if (found == files.end() || (page && !settings_.ui)) {
    throw Failure(404, ErrorCode::kNotFound, "there is nothing here");
  }
  http::Response response;
  response.headers = {{"ETag", std::string(found->etag)},
                      {"Cache-Control", "no-cache"},
                      {"Referrer-Policy", "no-referrer"},
                      {"Content-Security-Policy", page_policy(settings_)}};
  response.content_type = std::string(found->content_type);
  if (is_known(request, found->etag)) {
    response.status = 304;
  } else {
    response.body = std::string(found->content);
  }
  co_return response;
}

Service::Reply Service::file(http::Request& request, const std::string& key) {
  if (local_store_ == nullptr) throw Failure(404, ErrorCode::kNotFound, "there is nothing here");
  http::Response response;
  response.headers = {{"Cache-Control", "public, max-age=31536000, immutable"},
                      {"Content-Security-Policy", "default-src 'none'; sandbox"}};
  co_await run_blocking(fetch_pool_, [&] {
    const auto stored = local_store_->open(key);
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

Service::Reply Service::legacy_status(http::Request&, const std::string&) {
  co_return json_response({{"status", "online"},
                           {"cropper_available", why_not_ready().empty()},
                           {"endpoint", "/crop"}});
}

Service::Reply Service::legacy_debug(http::Request&, const std::string&) {
  const bool available = why_not_ready().empty();
  co_return json_response({{"cropper_available", available},
                           {"cropper_instance", registry_->ready()},
                           {"has_openai_key", !settings_.vlm_key.empty()},
                           {"has_supabase_url", settings_.store == "s3"},
                           {"error", !available}});
}

}  // namespace itemcrop::service
