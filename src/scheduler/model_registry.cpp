#include "scheduler/model_registry.h"

#include <algorithm>
#include <cstdint>
#include <set>
#include <utility>

#include "core/enum_names.h"

namespace itemcrop::scheduler {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kMaxNameBytes = 128;

[[noreturn]] void refuse(const std::string& message) {
  throw Error(ErrorCode::kInvalidArgument, message);
}

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

void check(const ModelConfig& config, std::set<std::string>& names) {
  if (config.name.empty() || config.name.size() > kMaxNameBytes) {
    refuse("models: a name must be 1 to " + std::to_string(kMaxNameBytes) + " bytes, got " +
           std::to_string(config.name.size()));
  }
  if (!names.insert(config.name).second) {
    refuse("models: the name \"" + config.name + "\" is used twice");
  }
  if (config.placements.empty()) {
    refuse("models: \"" + config.name + "\" needs at least one device");
  }
}

/// Any exception as the sentence that status and clients read.
std::string message_of(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& known) {
    return known.what();
  } catch (...) {
    return "unknown error";
  }
}

void warm_up(const Model& model, const RegistryOptions& options, Replica& replica) {
  const int width = options.warm_up_width;
  const int height = options.warm_up_height;
  if (width <= 0 || height <= 0) return;
  const std::vector<std::uint8_t> grey(
      std::size_t{3} * static_cast<std::size_t>(width) * static_cast<std::size_t>(height), 127);
  DetectRequest request;
  request.image = {grey.data(), width, height, 0};
  request.items.push_back({.prompt = options.warm_up_prompt});
  for (int call = 0; call < 2; ++call) {  // the second one is timed
    const Clock::time_point begin = Clock::now();
    const DetectReport report = model.detect(std::span(&request, 1), replica.options);
    replica.warm_seconds = seconds_since(begin);
    replica.precision = report.precision;
    replica.device_name = report.device_name;
  }
}

}  // namespace

std::string_view to_string(ModelState state) noexcept {
  static constexpr EnumNames<ModelState::kFailed> kNames("loading", "ready", "failed");
  return kNames[state];
}

const Replica* ServedModel::replica(const DeviceId& device) const noexcept {
  const auto found = std::ranges::find(replicas, device, &Replica::device);
  return found == replicas.end() ? nullptr : &*found;
}

ModelRegistry::ModelRegistry(std::vector<ModelConfig> models, std::string default_model,
                             RegistryOptions options)
    : options_(std::move(options)), default_name_(std::move(default_model)) {
  if (models.empty()) refuse("models: at least one is needed");
  if (default_name_.empty()) default_name_ = models.front().name;
  std::set<std::string> names;
  for (ModelConfig& config : models) {
    check(config, names);
    Entry entry;
    for (DetectOptions placement : config.placements) {
      const DeviceId device = resolve_device(placement.device, placement.device_index);
      placement.device = device.device;
      placement.device_index = device.index;
      const bool twice = std::ranges::any_of(entry.placements, [&](const DetectOptions& other) {
        return other.device == device.device && other.device_index == device.index;
      });
      if (twice) {
        refuse("models: \"" + config.name + "\" is placed twice on " + to_string(device));
      }
      entry.placements.push_back(placement);
      if (std::ranges::find(devices_, device) == devices_.end()) devices_.push_back(device);
    }
    entry.status.name = config.name;
    entry.status.is_default = config.name == default_name_;
    entry.config = std::move(config);
    entry.queued = true;
    queue_.push_back(entries_.size());
    entries_.push_back(std::move(entry));
  }
  if (!names.contains(default_name_)) {
    refuse("default model \"" + default_name_ + "\" is not one of the configured models");
  }
  loader_ = std::thread([this] { load_queued(); });
}

ModelRegistry::~ModelRegistry() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  loader_.join();
  const auto cancelled = std::make_exception_ptr(
      Error(ErrorCode::kCancelled, "the model was not loaded: the process is shutting down"));
  for (Entry& entry : entries_) {
    for (const Reloaded& done : entry.waiting) done(cancelled);
  }
}

const ModelRegistry::Entry& ModelRegistry::find(std::string_view name) const {
  if (name.empty()) name = default_name_;
  std::string known;
  for (const Entry& entry : entries_) {
    if (entry.config.name == name) return entry;
    known += (known.empty() ? "" : ", ") + entry.config.name;
  }
  throw Error(ErrorCode::kNotFound, "model \"" + std::string(name.substr(0, kMaxNameBytes)) +
                                        "\" is not one of " + known);
}

std::shared_ptr<const ServedModel> ModelRegistry::get(std::string_view name) const {
  const std::lock_guard lock(mutex_);
  const Entry& entry = find(name);
  if (entry.current != nullptr) return entry.current;
  const std::string subject = "model \"" + entry.config.name + "\" ";
  throw Error(ErrorCode::kUnavailable, entry.status.state == ModelState::kFailed
                                           ? subject + "could not be loaded: " + entry.status.reason
                                           : subject + "is still loading");
}

void ModelRegistry::reload(std::string_view name, std::function<void(std::exception_ptr)> done) {
  {
    const std::lock_guard lock(mutex_);
    const std::size_t index = static_cast<std::size_t>(&find(name) - entries_.data());
    Entry& entry = entries_[index];
    if (done) entry.waiting.push_back(std::move(done));
    if (!entry.queued) {
      entry.queued = true;
      queue_.push_back(index);
    }
    entry.status.reloading = entry.current != nullptr;
    if (entry.current == nullptr) entry.status.state = ModelState::kLoading;
  }
  changed_.notify_all();
}

std::vector<ModelStatus> ModelRegistry::status() const {
  const std::lock_guard lock(mutex_);
  std::vector<ModelStatus> result;
  for (const Entry& entry : entries_) result.push_back(entry.status);
  return result;
}

bool ModelRegistry::ready() const {
  const std::lock_guard lock(mutex_);
  return std::ranges::all_of(entries_, [](const Entry& entry) { return entry.current != nullptr; });
}

bool ModelRegistry::wait_loaded(std::chrono::milliseconds timeout) const {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, timeout, [this] {
    return std::ranges::none_of(
        entries_, [](const Entry& entry) { return entry.status.state == ModelState::kLoading; });
  });
  return std::ranges::all_of(entries_, [](const Entry& entry) { return entry.current != nullptr; });
}

void ModelRegistry::load_queued() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
    if (stopping_) return;
    const std::size_t index = queue_.front();
    queue_.pop_front();
    Entry& entry = entries_[index];
    // A reload asked for from now on is about a newer folder than the one that is read now.
    entry.queued = false;
    const std::vector<Reloaded> waiting = std::exchange(entry.waiting, {});
    lock.unlock();
    std::exception_ptr error;
    try {
      load(index);
    } catch (...) {
      error = std::current_exception();
    }
    lock.lock();
    entry.status.reloading = entry.queued && entry.current != nullptr;
    if (error != nullptr) {
      entry.status.reason = message_of(error);
      if (entry.current == nullptr && !entry.queued) entry.status.state = ModelState::kFailed;
    }
    lock.unlock();
    changed_.notify_all();
    for (const Reloaded& done : waiting) done(error);
    lock.lock();
  }
}

void ModelRegistry::load(std::size_t index) {
  Entry& entry = entries_[index];  // its config and placements never change
  const Clock::time_point begin = Clock::now();
  auto served = std::make_shared<ServedModel>();
  served->name = entry.config.name;
  served->model = entry.config.loader ? entry.config.loader() : Model::load(entry.config.folder);
  if (served->model == nullptr) {
    throw Error(ErrorCode::kInternal, "the loader of model \"" + served->name + "\" gave nothing");
  }
  std::string reason;
  std::exception_ptr first_error;
  for (const DetectOptions& placement : entry.placements) {
    Replica replica;
    replica.device = {placement.device, placement.device_index};
    replica.options = placement;
    try {
      served->model->prepare(placement);
      warm_up(*served->model, options_, replica);
      served->replicas.push_back(std::move(replica));
    } catch (...) {
      if (first_error == nullptr) first_error = std::current_exception();
      reason += (reason.empty() ? "" : "; ") + to_string(replica.device) + ": " +
                message_of(std::current_exception());
    }
  }
  if (served->replicas.empty()) std::rethrow_exception(first_error);

  std::shared_ptr<const ServedModel> previous;  // freed after the lock, if this was its last user
  {
    const std::lock_guard lock(mutex_);
    served->generation = entry.status.generation + 1;
    entry.status.state = ModelState::kReady;
    entry.status.reason = reason;
    entry.status.generation = served->generation;
    entry.status.load_seconds = seconds_since(begin);
    entry.status.info = served->model->info();
    entry.status.replicas = served->replicas;
    previous = std::exchange(entry.current, std::move(served));
  }
}

}  // namespace itemcrop::scheduler
