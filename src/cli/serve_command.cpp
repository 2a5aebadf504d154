#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <future>
#include <memory>
#include <mutex>
#include <ostream>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>

#include <pthread.h>
#include <sys/resource.h>
#include <sys/stat.h>
#if defined(__GLIBC__)
#include <malloc.h>
#endif

#include "cli/commands.h"
#include "cli/placement.h"
#include "cli/words.h"
#include "core/thread_pool.h"
#include "model_files/known_models.h"
#include "model_files/model_locator.h"
#include "service/http/server.h"
#include "service/requests/client_address.h"
#include "service/requests/memory_bound.h"
#include "service/service.h"

namespace itemcrop::cli {
namespace {

namespace fs = std::filesystem;
using service::Settings;

/// Sent to ourselves when a device is lost.
constexpr int kDeviceLostSignal = SIGUSR2;

/// Signals that the main thread waits for; blocked before any other thread starts.
class SignalWait {
 public:
  SignalWait() {
    sigemptyset(&set_);
    for (const int signal : {SIGTERM, SIGINT, SIGHUP, kDeviceLostSignal}) sigaddset(&set_, signal);
    pthread_sigmask(SIG_BLOCK, &set_, &previous_);
    std::signal(SIGPIPE, SIG_IGN);
  }
  ~SignalWait() { pthread_sigmask(SIG_SETMASK, &previous_, nullptr); }
  SignalWait(const SignalWait&) = delete;
  SignalWait& operator=(const SignalWait&) = delete;

  int next() const {
    int signal = 0;
    while (sigwait(&set_, &signal) != 0) {
    }
    return signal;
  }

 private:
  sigset_t set_;
  sigset_t previous_;
};

/// A connection is a descriptor; the usual limit of 1,024 is for programs without many.
void allow_many_descriptors() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
  }
}

/// Blocks of an image's size go back to the system when they are freed. Otherwise glibc raises its
/// threshold to the largest of them, small blocks settle between large ones, and resident memory
/// grows by tens of megabytes an hour although nothing is kept (bench/SERVICE_NOTES.md). Each arena
/// is a place for such holes: by itself glibc makes eight a core.
void return_freed_memory() {
#if defined(__GLIBC__)
  mallopt(M_MMAP_THRESHOLD, 1 << 20);
  mallopt(M_ARENA_MAX, std::max(4, hardware_threads() / 2));
#endif
}

std::vector<DetectOptions> placements_of(const Settings& settings) {
  std::vector<DetectOptions> placements;
  for (const std::string& word : settings.devices) {
    DetectOptions options;
    place_on(word, "each of devices", options);
    options.precision = parse_precision(settings.precision);
    options.threads = static_cast<int>(settings.threads);
    options.deterministic = settings.deterministic;
    options.max_passes = static_cast<int>(settings.max_passes);
    placements.push_back(options);
  }
  return placements;
}

std::vector<scheduler::ModelConfig> models_of(const Settings& settings,
                                              const Environment& environment) {
  const model_files::ModelSearch search =
      model_files::default_model_search(environment.executable, environment.variable);
  std::vector<scheduler::ModelConfig> models;
  for (const std::string& entry : settings.models) {
    scheduler::ModelConfig config;
    const std::size_t equals = entry.find('=');
    const model_files::LocatedModel located =
        model_files::locate_model(equals == entry.npos ? entry : entry.substr(equals + 1), search);
    config.name = equals == entry.npos ? located.name : entry.substr(0, equals);
    config.folder = located.folder;
    config.loader = [load = environment.load_model, folder = located.folder] {
      return load(folder);
    };
    config.placements = placements_of(settings);
    models.push_back(std::move(config));
  }
  return models;
}

fs::path data_folder_of(const Settings& settings, const Environment& environment) {
  if (!settings.data_folder.empty()) return settings.data_folder;
  if (const auto data = environment.variable("XDG_DATA_HOME"); data && !data->empty()) {
    return fs::path(*data) / "itemcrop";
  }
  if (const auto home = environment.variable("HOME"); home && !home->empty()) {
    return fs::path(*home) / ".local/share/itemcrop";
  }
  throw Error(ErrorCode::kInvalidArgument, "data_folder is not set, and there is no HOME");
}

/// A typing mistake in a variable's name would otherwise change nothing, silently. No error: others
/// set such names too, Kubernetes for a service called itemcrop among them.
void warn_of_unknown_variables(const service::Log& log) {
  const auto known = [](std::string_view name) {
    const auto table = service::settings_table();
    return name == "ITEMCROP_MODELS" || name == "ITEMCROP_CPU_ISA" ||
           name.starts_with("ITEMCROP_CUDA_") ||
           name.starts_with("ITEMCROP_MODAL_") ||  // deploy/modal_app.py's own
           std::any_of(table.begin(), table.end(),
                       [&](const service::Setting& each) { return each.variable() == name; });
  };
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    const std::string_view name = text.substr(0, text.find('='));
    if (name.starts_with("ITEMCROP_") && !known(name)) {
      log.warning("unknown_variable", {{"name", std::string(name)}});
    }
  }
}

service::http::ServerOptions server_options(const Settings& settings) {
  service::http::ServerOptions options;
  options.host = settings.host;
  options.port = static_cast<std::uint16_t>(settings.port);
  options.threads = static_cast<int>(settings.http_threads);
  options.tls_certificate = settings.tls_certificate;
  options.tls_key = settings.tls_key;
  options.max_connections = static_cast<std::size_t>(settings.max_connections);
  options.caller_share = settings.caller_share;
  const auto proxies =
      std::make_shared<const service::NetworkList>(settings.trusted_proxies, "trusted_proxies");
  options.is_proxy = [proxies](const std::string& address) { return proxies->contains(address); };
  options.caller_of = service::caller_of_address;
  options.max_head_bytes = static_cast<std::size_t>(settings.max_head_bytes);
  options.idle_deadline = service::milliseconds_of(settings.idle_seconds);
  options.head_deadline = service::milliseconds_of(settings.head_seconds);
  options.body_deadline = service::milliseconds_of(settings.body_seconds);
  options.write_deadline = service::milliseconds_of(settings.write_seconds);
  options.min_bytes_per_second = settings.min_bytes_per_second;
  return options;
}

/// Characters of a key that nobody guesses over a network.
constexpr std::size_t kSafeKeyLength = 16;

/// What is worth a word at the start although it works.
void warn_of_settings(const Settings& settings, const service::Log& log) {
  if (!settings.loopback() && settings.api_keys.empty()) {
    log.warning("anonymous_callers", {{"reason",
                                       "allow_anonymous is set and api_keys is not: "
                                       "everybody who reaches this port may call"}});
  }
  const auto is_short = [](const std::string& key) { return key.size() < kSafeKeyLength; };
  if (std::any_of(settings.api_keys.begin(), settings.api_keys.end(), is_short)) {
    log.warning("short_keys", {{"reason",
                                "keys of fewer than 16 characters may be guessed; "
                                "'openssl rand -hex 16' makes one that cannot"}});
  }
}

/// Ends the process at the latest at a time, whatever its threads do, as documented for SIGTERM.
/// Jobs go on from their journal.
class ExitDeadline {
 public:
  explicit ExitDeadline(std::shared_ptr<const service::Log> log) : log_(std::move(log)) {}

  void set(std::chrono::steady_clock::time_point time) {
    thread_ = std::jthread([time, log = log_](const std::stop_token& stop) {
      std::mutex mutex;
      std::condition_variable_any never;
      std::unique_lock lock(mutex);
      never.wait_until(lock, stop, time, [] { return false; });
      if (stop.stop_requested()) return;
      log->error("drain_timeout", {{"reason", "drain_seconds are over and work still runs"}});
      std::_Exit(kInterrupted);
    });
  }

 private:
  std::shared_ptr<const service::Log> log_;
  std::jthread thread_;
};

}  // namespace

ExitCode run_serve(const ServeArguments& arguments, const Environment& environment) {
  service::SettingsSources sources;
  if (!arguments.config.empty()) sources.file = arguments.config;
  sources.variable = environment.variable;
  sources.flags = arguments.flags;
  const Settings settings = service::load_settings(sources);
  if (arguments.print_config) {
    environment.out << service::print_settings(settings) << std::flush;
    return kOk;
  }
  service::check_exposure(settings);
  service::check_memory(settings, service::container_memory_limit());

  umask(S_IRWXG | S_IRWXO);  // photos, crops and the journal are nobody else's
  const SignalWait signals;
  allow_many_descriptors();
  return_freed_memory();
  const pthread_t main_thread = pthread_self();
  const auto log = std::make_shared<const service::Log>(settings.log_format, settings.log_level);
  warn_of_unknown_variables(*log);
  warn_of_settings(settings, *log);
  ExitDeadline exit_deadline(log);
  service::Service::Parts parts;
  parts.settings = settings;
  parts.models = models_of(settings, environment);
  parts.data_folder = data_folder_of(settings, environment);
  parts.variable = environment.variable;
  parts.log = log;
  parts.better_model = model_files::known_models().front().name;
  parts.on_device_lost = [main_thread] { pthread_kill(main_thread, kDeviceLostSignal); };
  service::Service service(std::move(parts));
  service::http::Server server(server_options(settings), service);
  server.start();
  const std::string host =
      settings.host.find(':') != settings.host.npos ? "[" + settings.host + "]" : settings.host;
  environment.err << "itemcrop: listening on " << (settings.tls() ? "https://" : "http://") << host
                  << ':' << server.port() << '\n'
                  << std::flush;

  int signal = signals.next();
  for (; signal == SIGHUP; signal = signals.next()) service.reload();

  const bool lost = signal == kDeviceLostSignal;
  const double seconds = lost ? 1 : settings.drain_seconds;
  const auto now = std::chrono::steady_clock::now();
  // The last part is for ending what the first did not.
  const auto timeout = service::milliseconds_of(seconds - std::min(1.0, seconds / 4));
  const auto deadline = now + timeout;
  exit_deadline.set(now + service::milliseconds_of(std::max(seconds, 1.0)));
  if (lost) {
    log->error("ending", {{"reason", "a device was lost"}});
  } else {
    log->info("draining", {{"seconds", static_cast<std::int64_t>(seconds)}});
  }
  service.begin_drain();
  auto jobs = std::async(std::launch::async, [&] { return service.drain_jobs(deadline); });
  const bool served = server.drain(timeout);
  const bool jobs_ended = jobs.get();
  const bool drained = service.drain(deadline);
  const ExitCode code =
      lost ? kDeviceProblem : (served && jobs_ended && drained ? kOk : kInterrupted);
  // Whatever still runs refers to what a return would destroy.
  if (!served || !jobs_ended || !drained) std::_Exit(code);
  return code;
}

}  // namespace itemcrop::cli
