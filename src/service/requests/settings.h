#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace itemcrop::service {

/// Everything an operator can set. Each member is one row of `settings_table()`, which gives it a
/// flag (--max-body-bytes), a variable (ITEMCROP_MAX_BODY_BYTES), a TOML key (max_body_bytes), its
/// range and its help. Durations are seconds, sizes bytes.
struct Settings {
  // Listening
  std::string host = "127.0.0.1";
  std::int64_t port = 8000;
  std::string tls_certificate;
  std::string tls_key;
  std::string public_url;
  std::vector<std::string> hosts;
  std::vector<std::string> trusted_proxies;
  std::int64_t http_threads = 2;
  std::int64_t work_threads = 0;
  std::int64_t fetch_threads = 16;

  // Models and devices
  std::vector<std::string> models = {"wardrobe"};
  std::string default_model;
  std::vector<std::string> devices = {"auto"};
  std::string precision = "auto";
  bool deterministic = false;
  std::int64_t threads = 0;
  std::vector<std::string> taxonomies;

  // Scheduling
  std::int64_t max_queued = 64;
  std::int64_t max_queued_bytes = 1'000'000'000;
  std::int64_t batch_images = 0;
  std::int64_t batch_bytes = 0;
  double batch_window_seconds = -1;
  double stuck_seconds = 30;

  // Limits of a request
  std::int64_t max_connections = 3000;
  std::int64_t max_head_bytes = 16'384;
  std::int64_t max_body_bytes = 64'000'000;
  std::int64_t max_buffered_bytes = 256'000'000;
  std::int64_t max_stream_bytes = 64'000'000;
  double caller_share = 0.75;
  std::int64_t max_image_bytes = 20'000'000;
  std::int64_t max_pixels = 50'000'000;
  std::int64_t max_images = 16;
  std::int64_t max_items = 100;
  std::int64_t max_passes = 10;
  std::int64_t max_crops = 1'000;
  std::int64_t max_crop_pixels = 400'000'000;
  std::int64_t max_crop_bytes = 128'000'000;
  std::int64_t max_decode_bytes = 1'000'000'000;
  std::int64_t max_response_bytes = 512'000'000;
  std::int64_t max_download_bytes = 256'000'000;
  bool allow_overcommit = false;
  std::int64_t max_text_bytes = 16'384;
  std::int64_t max_json_depth = 32;
  std::int64_t max_json_values = 20'000;
  double idle_seconds = 60;
  double head_seconds = 10;
  double body_seconds = 30;
  double write_seconds = 30;
  std::int64_t min_bytes_per_second = 1000;
  double request_seconds = 60;
  double drain_seconds = 20;

  // Fetching images by URL
  double fetch_seconds = 10;
  std::int64_t fetch_redirects = 3;
  std::vector<std::string> fetch_hosts;
  bool fetch_private = false;

  // Where crops go
  std::string store = "local";
  std::string data_folder;
  double files_keep_hours = 168;
  std::int64_t files_max_bytes = 10'000'000'000;
  double files_sweep_seconds = 600;
  double files_check_seconds = 10;
  std::string s3_endpoint;
  std::string s3_region = "us-east-1";
  std::string s3_bucket;
  std::string s3_prefix;
  std::string s3_access_key;
  std::string s3_secret_key;
  std::string s3_session_token;
  bool s3_path_style = true;
  std::string s3_public_url;
  double s3_try_seconds = 10;

  // Analysis
  std::string vlm_url;
  std::string vlm_key;
  std::string vlm_model = "gpt-4o-mini";
  double vlm_seconds = 20;
  double analysis_cache_seconds = 600;
  std::int64_t analysis_cache_bytes = 64'000'000;

  // Jobs
  std::int64_t job_images = 1000;
  std::int64_t jobs_unfinished = 100;
  double jobs_keep_hours = 24;
  std::int64_t jobs_max_bytes = 4'000'000'000;

  // Callers
  std::vector<std::string> api_keys;
  bool allow_anonymous = false;
  std::int64_t wrong_keys_per_minute = 60;
  std::vector<std::string> cors_origins;
  double rate_limit = 0;
  std::int64_t rate_burst = 20;
  bool legacy_errors = false;
  bool ui = true;
  bool hints = true;

  // Logs
  std::string log_format = "text";
  std::string log_level = "info";

  bool tls() const noexcept { return !tls_certificate.empty(); }
  /// True if only this machine can reach the service.
  bool loopback() const noexcept;
  /// The most of a budget that one caller can ever hold: caller_share of it, rounded up.
  std::int64_t share_of(std::int64_t total) const noexcept;
};

/// Settings give times in seconds.
inline std::chrono::milliseconds milliseconds_of(double seconds) {
  return std::chrono::milliseconds(static_cast<std::int64_t>(seconds * 1000));
}

/// One row: a member of Settings and what people may write for it.
struct Setting {
  using Member = std::variant<std::string Settings::*, bool Settings::*, std::int64_t Settings::*,
                              double Settings::*, std::vector<std::string> Settings::*>;

  std::string_view section;  ///< "Limits of a request"
  std::string_view name;     ///< "max_body_bytes"
  Member member;
  std::string_view help;
  double min = 0;  ///< numbers only
  double max = 0;
  std::vector<std::string_view> choices = {};  ///< texts only; empty: any
  bool secret = false;                         ///< never printed

  std::string flag() const;      ///< "--max-body-bytes"
  std::string variable() const;  ///< "ITEMCROP_MAX_BODY_BYTES"
};

std::span<const Setting> settings_table();

/// The default, as people would write it; empty: nothing.
std::string default_text(const Setting& setting);

/// Sets one member from text (lists: separated by commas). `origin` names the place in errors:
/// "--port", "ITEMCROP_PORT", "conf.toml:3 port". Throws Error(kInvalidArgument) naming the origin,
/// the limits and the value (secrets: not the value).
void set_from_text(Settings& settings, const Setting& setting, const std::string& text,
                   const std::string& origin);

/// Defaults, then the TOML file, then variables, then flags; later ones win.
struct SettingsSources {
  std::optional<std::filesystem::path> file;
  std::function<std::optional<std::string>(const std::string&)> variable;
  std::vector<std::pair<const Setting*, std::string>> flags;
};

/// Throws Error: kNotFound (file), kInvalidArgument (syntax, unknown keys in the
/// file, values, combinations that make no sense).
Settings load_settings(const SettingsSources& sources);

/// Before the service starts: throws Error(kInvalidArgument) if it would let everybody call who can
/// reach more than this machine's loopback, without saying so in allow_anonymous.
void check_exposure(const Settings& settings);

/// The settings as a TOML file with help as comments; secrets that are set only as a comment.
std::string print_settings(const Settings& settings);

}  // namespace itemcrop::service
