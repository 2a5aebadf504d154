#include "service/stores.h"

#include "store/aws_keys.h"
#include "store/s3_store.h"

namespace itemcrop::service {

Stores open_stores(const Settings& settings, const std::filesystem::path& data_folder,
                   const Variable& variable) {
  if (settings.store == "none") return {};
  if (settings.store == "s3") {
    store::S3StoreOptions options;
    options.endpoint = settings.s3_endpoint;
    options.region = settings.s3_region;
    options.bucket = settings.s3_bucket;
    options.access_key = settings.s3_access_key;
    options.secret_key = settings.s3_secret_key;
    options.session_token = settings.s3_session_token;
    if (settings.s3_access_key.empty()) {
      store::AwsKeyChainOptions chain;
      chain.variable = variable;
      chain.region = settings.s3_region;
      options.key_source = [keys = std::make_shared<store::AwsKeyChain>(std::move(chain))](
                               const std::stop_token& stop) { return keys->keys(stop); };
    }
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

void check_bucket(const Settings& settings, const Stores& stores) {
  if (settings.store != "s3") return;
  try {
    stores.store->check();
  } catch (const store::RefusedError& error) {
    throw Error(ErrorCode::kInvalidArgument,
                std::string(error.what()) + ": " + store_advice(settings), "s3_bucket");
  } catch (const Error&) {
    // The store monitor asks again, and every request says so itself.
  }
}

std::string store_advice(const Settings& settings) {
  if (settings.store != "s3") {
    return "data_folder needs 64 MB of free space and must be writable by this user";
  }
  return "check s3_endpoint = " + settings.s3_endpoint + ", s3_region = " + settings.s3_region +
         " and s3_bucket = " + settings.s3_bucket +
         "; s3_access_key and s3_secret_key must be allowed s3:PutObject on " + settings.s3_bucket +
         "/" + settings.s3_prefix + "*";
}

}  // namespace itemcrop::service
