#include "service/requests/settings.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <sstream>
#include <type_traits>

#include "itemcrop/error.h"

#include "core/budget.h"
#include "core/toml.h"
#include "service/requests/client_address.h"
#include "service/requests/memory_bound.h"
#include "service/requests/number_text.h"
#include "service/requests/origin_policy.h"

namespace itemcrop::service {
namespace {

constexpr std::size_t kMinKeyCharacters = 8;
constexpr double kMany = 1e15;  // exactly representable, beyond any sensible size

using S = Settings;

const std::vector<Setting>& table() {
  static const std::vector<Setting> rows = [] {
    std::vector<Setting> all;
    std::string_view section;
    const auto text = [&](std::string_view name, std::string S::*member, std::string_view help,
                          std::vector<std::string_view> choices = {}) {
      all.push_back({section, name, member, help, 0, 0, std::move(choices), false});
    };
    const auto secret = [&](std::string_view name, Setting::Member member, std::string_view help) {
      all.push_back({section, name, member, help, 0, 0, {}, true});
    };
    const auto list = [&](std::string_view name, std::vector<std::string> S::*member,
                          std::string_view help) {
      all.push_back({section, name, member, help});
    };
    const auto flag = [&](std::string_view name, bool S::*member, std::string_view help) {
      all.push_back({section, name, member, help});
    };
    const auto number = [&](std::string_view name, Setting::Member member, double min, double max,
                            std::string_view help) {
      all.push_back({section, name, member, help, min, max});
    };

    section = "Listening";
    text("host", &S::host, "address to listen on");
    number("port", &S::port, 0, 65535, "port to listen on; 0: any free one");
    text("tls_certificate", &S::tls_certificate,
         "PEM file with the certificate chain; empty: no TLS");
    text("tls_key", &S::tls_key, "PEM file with the certificate's key");
    text("public_url", &S::public_url,
         "how clients reach this service, in crops' URLs; empty: a known Host, or a path");
    list("hosts", &S::hosts, "further names of this service that a Host header may have");
    list("trusted_proxies", &S::trusted_proxies,
         "addresses or networks whose Forwarded and X-Forwarded-For are believed");
    number("http_threads", &S::http_threads, 1, 256,
           "threads that read requests and write answers");
    number("work_threads", &S::work_threads, 0, 1024,
           "threads that decode, cut and encode images; 0: one a core");
    number("fetch_threads", &S::fetch_threads, 1, 1024,
           "downloads and calls of a vision-language model at a time");

    section = "Models and devices";
    list("model", &S::models, "models to serve: folders or names, or NAME=FOLDER");
    text("default_model", &S::default_model, "the model used when none is named; empty: the first");
    list("devices", &S::devices, "where they run: auto, cpu, cuda:0, cuda:1 ...");
    text("precision", &S::precision, "numbers of the matrix products",
         {"auto", "fp32", "bf16", "fp16"});
    flag("deterministic", &S::deterministic,
         "on a GPU: the same bits in any batch, at some cost; a CPU's always are");
    number("threads", &S::threads, 0, 1024, "CPU threads of a model call; 0: every core");
    list("taxonomies", &S::taxonomies, "further taxonomy files (docs/taxonomies.md)");

    section = "Scheduling";
    number("max_queued", &S::max_queued, 1, 100'000,
           "images of requests in hand; further requests get 429");
    number("max_queued_bytes", &S::max_queued_bytes, 1, kMany,
           "bytes of decoded images that may wait");
    number("batch_images", &S::batch_images, 0, 4096,
           "images a model call; 0: 16 on a GPU, 1 on a CPU");
    number("batch_bytes", &S::batch_bytes, 0, kMany, "activation memory a model call; 0: no limit");
    number("batch_window_seconds", &S::batch_window_seconds, -1, 10,
           "longest wait for others of a batch; -1: 2 ms on a GPU, 0 on a CPU");
    number("stuck_seconds", &S::stuck_seconds, 0.1, 3600,
           "a step of a model call longer than this marks its device as not healthy");

    section = "Limits of a request";
    number("max_connections", &S::max_connections, 1, 1'000'000, "connections at a time");
    number("max_head_bytes", &S::max_head_bytes, 1024, 1'000'000, "request line and headers");
    number("max_body_bytes", &S::max_body_bytes, 1024, 4e9, "body of a request");
    number("max_buffered_bytes", &S::max_buffered_bytes, 1024, kMany,
           "bodies held at a time, all requests together");
    number("max_stream_bytes", &S::max_stream_bytes, 262'144, kMany,
           "pieces of files and event streams held for readers, all together");
    number("caller_share", &S::caller_share, 0.01, 1,
           "part of what others leave of a budget or of connections for one caller");
    number("max_image_bytes", &S::max_image_bytes, 1, 4e9, "one image's file, sent or fetched");
    number("max_pixels", &S::max_pixels, 1, 1e9, "one image's width times height");
    number("max_images", &S::max_images, 1, 1000, "images of a request");
    number("max_items", &S::max_items, 1, 10'000, "items and categories of a request");
    number("max_passes", &S::max_passes, 1, 10'000,
           "runs of the model that a request's items may take");
    number("max_crops", &S::max_crops, 1, 1e6, "crops of a request");
    number("max_crop_pixels", &S::max_crop_pixels, 1, 1e12, "width times height of all its crops");
    number("max_crop_bytes", &S::max_crop_bytes, 1'000, 1e12, "files of all its crops together");
    number("max_decode_bytes", &S::max_decode_bytes, 1'000'000, 1e12,
           "memory of images being decoded or held; others wait");
    number("max_response_bytes", &S::max_response_bytes, 1'000'000, 1e12,
           "memory of crops and responses until they are written");
    number("max_download_bytes", &S::max_download_bytes, 1'000'000, kMany,
           "files being downloaded or held until they are decoded, all together");
    flag("allow_overcommit", &S::allow_overcommit,
         "start although the container has less memory than these limits allow");
    number("max_text_bytes", &S::max_text_bytes, 16, 1e7, "all item texts of a request together");
    number("max_json_depth", &S::max_json_depth, 4, 1000, "nesting of a JSON body");
    number("max_json_values", &S::max_json_values, 100, 1e7,
           "values of a JSON body: texts, numbers, lists and objects");
    number("idle_seconds", &S::idle_seconds, 0.1, 86400,
           "a connection without a request is closed");
    number("head_seconds", &S::head_seconds, 0.1, 3600, "for a head to arrive");
    number("body_seconds", &S::body_seconds, 0.1, 3600, "for a body to arrive");
    number("write_seconds", &S::write_seconds, 0.1, 3600, "for an answer to be taken");
    number("min_bytes_per_second", &S::min_bytes_per_second, 0, 1e9,
           "least rate of a body that arrives and a file that is taken; 0: none");
    number("request_seconds", &S::request_seconds, 0.1, 86400,
           "for a whole request; a caller may ask for less");
    number("drain_seconds", &S::drain_seconds, 0, 3600, "for requests in hand after SIGTERM");

    section = "Fetching images by URL";
    number("fetch_seconds", &S::fetch_seconds, 0.1, 3600,
           "for a whole download with its redirects");
    number("fetch_redirects", &S::fetch_redirects, 0, 20, "redirects followed");
    list("fetch_hosts", &S::fetch_hosts,
         "only from these hosts (.example.com: and those below); empty: any public one");
    flag("fetch_private", &S::fetch_private, "also from private and loopback addresses");

    section = "Where crops go";
    text("store", &S::store,
         "local: a folder, served from here; s3: a bucket; none: base64 in answers",
         {"local", "s3", "none"});
    text("data_folder", &S::data_folder,
         "crops and the journal of jobs; empty: ~/.local/share/itemcrop");
    number("files_keep_hours", &S::files_keep_hours, 0.01, 1e6,
           "age at which local crops are deleted");
    number("files_max_bytes", &S::files_max_bytes, 1, kMany,
           "local crops kept; the oldest go first");
    number("files_sweep_seconds", &S::files_sweep_seconds, 0.1, 1e6,
           "how often local crops are deleted that are too old or too many");
    number("files_check_seconds", &S::files_check_seconds, 0.1, 1e6,
           "how often /readyz learns whether crops can be written to the folder");
    text("s3_endpoint", &S::s3_endpoint, "https://..., as your provider gives it");
    text("s3_region", &S::s3_region, "region of the bucket");
    text("s3_bucket", &S::s3_bucket, "bucket");
    text("s3_prefix", &S::s3_prefix, "put before every key");
    text("s3_access_key", &S::s3_access_key, "access key id");
    secret("s3_secret_key", &S::s3_secret_key, "secret access key");
    secret("s3_session_token", &S::s3_session_token, "session token of temporary credentials");
    flag("s3_path_style", &S::s3_path_style, "ENDPOINT/BUCKET/KEY instead of BUCKET.ENDPOINT/KEY");
    text("s3_public_url", &S::s3_public_url,
         "URL of an object, with {bucket} and {key}; empty: where it was put");
    number("s3_try_seconds", &S::s3_try_seconds, 0.1, 600, "one try of an upload");

    section = "Analysis";
    text("vlm_url", &S::vlm_url,
         "OpenAI-compatible vision endpoint that lists items; empty: the taxonomy does");
    secret("vlm_key", &S::vlm_key, "its key (OPENAI_API_KEY is read too)");
    text("vlm_model", &S::vlm_model, "its model");
    number("vlm_seconds", &S::vlm_seconds, 0.1, 600, "for its answer; then the taxonomy is used");
    number("analysis_cache_seconds", &S::analysis_cache_seconds, 0, 1e6,
           "how long an analysis is kept");
    number("analysis_cache_bytes", &S::analysis_cache_bytes, 0, kMany, "memory of kept analyses");

    section = "Jobs";
    number("job_images", &S::job_images, 1, 100'000, "images of a job");
    number("jobs_unfinished", &S::jobs_unfinished, 1, 100'000, "jobs queued or running");
    number("jobs_keep_hours", &S::jobs_keep_hours, 0.01, 1e6,
           "age at which finished jobs are deleted");
    number("jobs_max_bytes", &S::jobs_max_bytes, 1000, kMany, "sources and results of kept jobs");

    section = "Callers";
    secret("api_keys", &S::api_keys, "keys that callers must send; empty: everybody may call");
    flag("allow_anonymous", &S::allow_anonymous,
         "start without api_keys although others than this machine can reach the service");
    number("wrong_keys_per_minute", &S::wrong_keys_per_minute, 0, 1e6,
           "wrong keys of one address before its next ones get 429; 0: no limit");
    list("cors_origins", &S::cors_origins,
         "browser origins that may call; *: all; empty: the service's own pages");
    number("rate_limit", &S::rate_limit, 0, 1e6,
           "requests a second of one key or address; 0: no limit");
    number("rate_burst", &S::rate_burst, 1, 1e6, "requests that may come at once");
    flag("legacy_errors", &S::legacy_errors,
         "POST /crop answers failures as the old backend: 200 and the image sent");
    flag("ui", &S::ui, "serve the web page at /ui");
    flag("hints", &S::hints, "say in results which words the model was never taught");

    section = "Logs";
    text("log_format", &S::log_format, "on standard error", {"text", "json"});
    text("log_level", &S::log_level, "what is worth a line",
         {"debug", "info", "warning", "error", "off"});
    return all;
  }();
  return rows;
}

[[noreturn]] void refuse(const std::string& origin, const std::string& reason) {
  throw Error(ErrorCode::kInvalidArgument, origin + " " + reason);
}

void check_range(const Setting& setting, double value, const std::string& origin) {
  if (!(value >= setting.min && value <= setting.max)) {
    refuse(origin, "must be " + number_text(setting.min) + " to " + number_text(setting.max) +
                       ", is " + number_text(value));
  }
}

void check_choice(const Setting& setting, const std::string& value, const std::string& origin) {
  if (setting.choices.empty() ||
      std::find(setting.choices.begin(), setting.choices.end(), value) != setting.choices.end()) {
    return;
  }
  std::string words;
  for (const std::string_view word : setting.choices) {
    words += (words.empty() ? "" : ", ") + std::string(word);
  }
  refuse(origin, "must be one of " + words + "; is '" + value + "'");
}

template <class Number>
Number parse_number(const std::string& text, const std::string& origin) {
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) {
    refuse(origin, std::string("must be a ") +
                       (std::is_integral_v<Number> ? "whole number" : "number") + ", is '" + text +
                       "'");
  }
  return value;
}

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> parts;
  std::istringstream in(text);
  for (std::string part; std::getline(in, part, ',');) {
    const std::size_t begin = part.find_first_not_of(" \t");
    if (begin == part.npos) continue;
    parts.push_back(part.substr(begin, part.find_last_not_of(" \t") - begin + 1));
  }
  return parts;
}

/// The origin of one key of a file: "conf.toml:3 port".
std::string origin_in(const std::filesystem::path& file, const std::string& key,
                      const toml::source_region& where) {
  return file.filename().string() + ":" + std::to_string(where.begin.line) + " " + key;
}

void set_from_toml(Settings& settings, const Setting& setting, const toml::node& node,
                   const std::string& origin) {
  std::visit(
      [&](auto member) {
        using Value = std::remove_reference_t<decltype(settings.*member)>;
        if constexpr (std::is_same_v<Value, std::vector<std::string>>) {
          const toml::array* array = node.as_array();
          if (array == nullptr) refuse(origin, "must be a list of texts");
          std::vector<std::string> parts;
          for (const toml::node& entry : *array) {
            const auto text = entry.value_exact<std::string>();
            if (!text) refuse(origin, "must be a list of texts");
            parts.push_back(*text);
          }
          settings.*member = std::move(parts);
        } else if constexpr (std::is_same_v<Value, double>) {
          const auto value = node.value<double>();
          if (!value || node.is_boolean()) refuse(origin, "must be a number");
          check_range(setting, *value, origin);
          settings.*member = *value;
        } else {
          const auto value = node.value_exact<Value>();
          if (!value) {
            refuse(origin, std::is_same_v<Value, bool>          ? "must be true or false"
                           : std::is_same_v<Value, std::string> ? "must be a text"
                                                                : "must be a whole number");
          }
          if constexpr (std::is_same_v<Value, std::int64_t>) {
            check_range(setting, static_cast<double>(*value), origin);
          } else if constexpr (std::is_same_v<Value, std::string>) {
            check_choice(setting, *value, origin);
          }
          settings.*member = *value;
        }
      },
      setting.member);
}

const Setting* find(std::string_view name) {
  for (const Setting& setting : table()) {
    if (setting.name == name) return &setting;
  }
  return nullptr;
}

void read_file(Settings& settings, const std::filesystem::path& file) {
  if (!std::filesystem::is_regular_file(file)) {
    throw Error(ErrorCode::kNotFound, "settings file '" + file.string() + "' does not exist");
  }
  toml::table document;
  try {
    document = toml::parse_file(file.string());
  } catch (const toml::parse_error& error) {
    throw Error(ErrorCode::kInvalidArgument, file.filename().string() + ":" +
                                                 std::to_string(error.source().begin.line) + " " +
                                                 std::string(error.description()));
  } catch (const std::logic_error&) {
    refuse(file.filename().string(), "is not TOML");
  }
  for (const auto& [key, node] : document) {
    const std::string name(key.str());
    const std::string origin = origin_in(file, name, node.source());
    const Setting* setting = find(name);
    if (setting == nullptr) refuse(origin, "is not a setting ('serve --print-config' lists them)");
    set_from_toml(settings, *setting, node, origin);
  }
}

/// Secrets travel in headers. A line's end in a file or a space beside a comma is easily taken into
/// them, and then every call fails.
bool is_visible_ascii(const std::string& text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < 0x7f; });
}

void check_secrets(const Settings& settings) {
  for (std::size_t i = 0; i < settings.api_keys.size(); ++i) {
    const std::string& key = settings.api_keys[i];
    const std::string name = "api_keys[" + std::to_string(i) + "]";
    if (key.empty()) refuse(name, "is empty; leave the whole setting out to let everybody call");
    if (key.size() < kMinKeyCharacters) {
      refuse(name, "must have at least " + std::to_string(kMinKeyCharacters) + " characters, has " +
                       std::to_string(key.size()) + " ('openssl rand -hex 24' makes a key)");
    }
    if (!is_visible_ascii(key)) {
      refuse(name, "must be visible ASCII characters without spaces or line ends");
    }
  }
  for (const auto& [name, value] : {std::pair{"vlm_key", &settings.vlm_key},
                                    {"s3_access_key", &settings.s3_access_key},
                                    {"s3_secret_key", &settings.s3_secret_key},
                                    {"s3_session_token", &settings.s3_session_token}}) {
    if (!is_visible_ascii(*value)) {
      refuse(name, "must be visible ASCII characters without spaces or line ends");
    }
  }
}

void check_together(const Settings& settings) {
  if (settings.tls_certificate.empty() != settings.tls_key.empty()) {
    refuse("tls_certificate and tls_key", "are needed together");
  }
  if (settings.models.empty()) refuse("model", "must name at least one model");
  if (settings.devices.empty()) refuse("devices", "must name at least one device");
  if (settings.store == "s3") {
    for (const auto& [name, value] :
         {std::pair{"s3_endpoint", &settings.s3_endpoint}, {"s3_bucket", &settings.s3_bucket}}) {
      if (value->empty()) refuse(name, "is needed with store = s3");
    }
    if (settings.s3_access_key.empty() != settings.s3_secret_key.empty()) {
      refuse("s3_access_key and s3_secret_key",
             "are needed together; with neither, keys come from where AWS's tools find them");
    }
  }
  for (const std::string& origin : settings.cors_origins) {
    if (const std::string problem = problem_of_origin(origin); !problem.empty()) {
      refuse("cors_origins:", problem);
    }
  }
  [[maybe_unused]] const NetworkList proxies(settings.trusted_proxies, "trusted_proxies");
  check_secrets(settings);
}

std::string quoted(const std::string& text) {
  std::ostringstream out;
  out << toml::value<std::string>(text);
  return out.str();
}

}  // namespace

bool Settings::loopback() const noexcept {
  return host == "localhost" || host == "::1" || host.starts_with("127.");
}

std::int64_t Settings::share_of(std::int64_t total) const noexcept {
  return share_beside(total, 0, caller_share);
}

std::string Setting::flag() const {
  std::string text = "--" + std::string(name);
  std::replace(text.begin(), text.end(), '_', '-');
  return text;
}

std::string Setting::variable() const {
  std::string text = "ITEMCROP_" + std::string(name);
  std::transform(text.begin(), text.end(), text.begin(),
                 [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c; });
  return text;
}

std::span<const Setting> settings_table() { return table(); }

std::string default_text(const Setting& setting) {
  const Settings defaults;
  return std::visit(
      [&](auto member) -> std::string {
        const auto& value = defaults.*member;
        using Value = std::remove_cvref_t<decltype(value)>;
        if constexpr (std::is_same_v<Value, std::vector<std::string>>) {
          std::string text;
          for (const std::string& each : value) text += (text.empty() ? "" : ",") + each;
          return text;
        } else if constexpr (std::is_same_v<Value, bool>) {
          return value ? "true" : "false";
        } else if constexpr (std::is_same_v<Value, std::string>) {
          return value;
        } else {
          return number_text(static_cast<double>(value));
        }
      },
      setting.member);
}

void set_from_text(Settings& settings, const Setting& setting, const std::string& text,
                   const std::string& origin) {
  std::visit(
      [&](auto member) {
        using Value = std::remove_reference_t<decltype(settings.*member)>;
        if constexpr (std::is_same_v<Value, bool>) {
          if (text == "true" || text == "1" || text == "on" || text == "yes") {
            settings.*member = true;
          } else if (text == "false" || text == "0" || text == "off" || text == "no") {
            settings.*member = false;
          } else {
            refuse(origin, "must be true or false, is '" + text + "'");
          }
        } else if constexpr (std::is_arithmetic_v<Value>) {
          const auto value = parse_number<Value>(text, origin);
          check_range(setting, static_cast<double>(value), origin);
          settings.*member = value;
        } else if constexpr (std::is_same_v<Value, std::string>) {
          check_choice(setting, text, origin);
          settings.*member = text;
        } else {
          std::vector<std::string> parts = split(text);
          // An unset variable of a script must not let everybody call.
          if (setting.secret && parts.empty()) {
            refuse(origin, "is set and names no key; unset it to let everybody call");
          }
          settings.*member = std::move(parts);
        }
      },
      setting.member);
}

Settings load_settings(const SettingsSources& sources) {
  Settings settings;
  if (sources.file) read_file(settings, *sources.file);
  if (sources.variable) {
    for (const Setting& setting : table()) {
      if (const auto text = sources.variable(setting.variable())) {
        set_from_text(settings, setting, *text, setting.variable());
      }
    }
    if (settings.vlm_key.empty()) {
      settings.vlm_key = sources.variable("OPENAI_API_KEY").value_or("");
    }
  }
  for (const auto& [setting, text] : sources.flags) {
    set_from_text(settings, *setting, text, setting->flag());
  }
  check_together(settings);
  return settings;
}

void check_exposure(const Settings& settings) {
  if (!settings.loopback() && settings.api_keys.empty() && !settings.allow_anonymous) {
    refuse("host", "= " + settings.host +
                       " can be reached by others: set api_keys, or allow_anonymous = true to let "
                       "everybody call");
  }
}

std::string print_settings(const Settings& settings) {
  std::ostringstream out;
  std::string_view section;
  for (const Setting& setting : table()) {
    if (setting.section != section) {
      out << (section.empty() ? "" : "\n") << "# " << setting.section << "\n";
      section = setting.section;
    }
    out << "\n# " << setting.help << "\n";
    std::visit(
        [&](auto member) {
          const auto& value = settings.*member;
          using Value = std::remove_cvref_t<decltype(value)>;
          if constexpr (std::is_same_v<Value, std::string> ||
                        std::is_same_v<Value, std::vector<std::string>>) {
            if (setting.secret && !value.empty()) {
              out << "# " << setting.name << " is set, and not shown";
              return;
            }
          }
          out << setting.name << " = ";
          if constexpr (std::is_same_v<Value, std::vector<std::string>>) {
            out << '[';
            for (std::size_t i = 0; i < value.size(); ++i) {
              out << (i > 0 ? ", " : "") << quoted(value[i]);
            }
            out << ']';
          } else if constexpr (std::is_same_v<Value, std::string>) {
            out << quoted(value);
          } else if constexpr (std::is_same_v<Value, bool>) {
            out << (value ? "true" : "false");
          } else if constexpr (std::is_same_v<Value, double>) {
            const std::string text = number_text(value);
            out << text << (text.find_first_of(".e") == text.npos ? ".0" : "");
          } else {
            out << value;
          }
        },
        setting.member);
    out << '\n';
  }
  out << "\n# Memory: at most, beside the models' own,\n";
  for (const MemoryPart& part : memory_parts(settings)) {
    out << "#   " << part.bytes << " bytes of " << part.name << " (" << part.formula << ")\n";
  }
  out << "# together " << memory_bound(settings) << " bytes\n";
  return out.str();
}

}  // namespace itemcrop::service
