#include "service/stores.h"

#include "store/s3_store.h"

namespace itemcrop::service {

Stores open_stores(const Settings& settings, const std::filesystem::path& data_folder) {
  if (settings.store == "none") return {};
  if (settings.store == "s3") {
    store::S3StoreOptions options;
    options.endpoint = settings.s3_endpoint;
    options.region = settings.s3_region;
    options.bucket = settings.s3_bucket;
    options.access_key = settings.s3_access_key;
    options.secret_key = settings.s3_secret_key;
    options.session_token = settings.s3_session_token;
    options.virtual_host = !settings.s3_path_style;
    options.prefix = settings.s3_prefix;
    options.public_url = settings.s3_public_url;
    options.cache_control = "public, max-age=31536000, immutable";
    options.deadline = milliseconds_of(settings.s3_try_seconds);
    return {std::make_shared<store::S3Store>(std::move(options)), nullptr};
  }
  store::LocalStoreOptions options;
  options.folder = data_folder / "files";
  options.max_age =
      std::chrono::seconds(static_cast<std::int64_t>(settings.files_keep_hours * 3600));
  options.max_bytes = static_cast<std::uint64_t>(settings.files_max_bytes);
  auto local = std::make_shared<store::LocalStore>(std::move(options));
  return {local, local};
}

}  // namespace itemcrop::service
