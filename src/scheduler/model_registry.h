#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "itemcrop/model.h"

#include "scheduler/device_id.h"
#include "scheduler/estimate_cache.h"

namespace itemcrop::scheduler {

/// One model that the process serves, as configured.
struct ModelConfig {
  std::string name;              ///< what requests call it; unique, 1 to 128 bytes
  std::filesystem::path folder;  ///< a published checkpoint; unused if `loader` is set
  std::function<std::shared_ptr<const Model>()> loader = {};  ///< instead of Model::load(folder)
  /// Where it runs and how: one entry a device (device, device_index, precision, threads, edges,
  /// max_items). Several entries spread its requests; two for one device are refused.
  std::vector<DetectOptions> placements = {DetectOptions{}};
};

/// A device that a loaded model is prepared on, and the options its calls use there.
struct Replica {
  DeviceId device;
  DetectOptions options;                   ///< device is never kAuto
  Precision precision = Precision::kAuto;  ///< what the warm-up ran; kAuto without a warm-up
  std::string device_name;                 ///< "NVIDIA H100 80GB HBM3"; empty without a warm-up
  double warm_seconds = 0;  ///< a second, warm call of the warm-up image; 0 without a warm-up
};

/// One loaded checkpoint. A reload makes a new one; requests keep theirs until they end.
struct ServedModel {
  std::string name;
  std::uint64_t generation = 0;  ///< 1 for the first load of a name, one more each reload
  std::shared_ptr<const Model> model;
  std::vector<Replica> replicas;  ///< at least one
  mutable EstimateCache estimates;

  /// nullptr if it is not prepared there.
  const Replica* replica(const DeviceId& device) const noexcept;
};

enum class ModelState { kLoading, kReady, kFailed };
std::string_view to_string(ModelState state) noexcept;  ///< "loading", "ready", "failed"

/// For /v1/models and /readyz.
struct ModelStatus {
  std::string name;
  bool is_default = false;
  ModelState state = ModelState::kLoading;
  bool reloading = false;  ///< a newer copy is being loaded; requests use the present one
  /// Why it failed; or, if ready, why the last reload or one of its placements failed. May be
  /// empty.
  std::string reason;
  std::uint64_t generation = 0;   ///< 0: never loaded
  double load_seconds = 0;        ///< load, prepare and warm-up of this generation
  ModelInfo info;                 ///< of the loaded copy; empty while it loads the first time
  std::vector<Replica> replicas;  ///< where it is ready
};

struct RegistryOptions {
  /// After preparing, run a grey image of this size twice on every placement, so that the first
  /// request does not pay for first touches. 0: no warm-up.
  int warm_up_width = 640;
  int warm_up_height = 640;
  std::string warm_up_prompt = "coat";
};

/// The models of a process by name. Loading, preparing and warming up happen on a thread of its
/// own, in the order of the configuration. Thread-safe.
class ModelRegistry {
 public:
  /// Starts loading and returns at once. The first entry is the default unless `default_model`
  /// names another. Throws Error(kInvalidArgument): no models, a bad or repeated name, an unknown
  /// default, no placement or two for one device.
  explicit ModelRegistry(std::vector<ModelConfig> models, std::string default_model = {},
                         RegistryOptions options = {});
  /// Waits for the load that runs; loads that have not begun are cancelled.
  ~ModelRegistry();
  ModelRegistry(const ModelRegistry&) = delete;
  ModelRegistry& operator=(const ModelRegistry&) = delete;

  /// The present copy of a model; empty: the default one. Throws Error: kNotFound (no such name;
  /// the message lists those there are), kUnavailable (still loading, or failed and why).
  std::shared_ptr<const ServedModel> get(std::string_view name = {}) const;

  /// Loads a model again beside the present copy and swaps when it is ready; on failure the present
  /// copy stays. Returns at once; `done`, if set, is called on the loading thread with null or the
  /// reason, or with Error(kCancelled) by the destructor. A model that failed at start may be
  /// reloaded too. Several reloads of one name that have not begun are one. Throws
  /// Error(kNotFound).
  void reload(std::string_view name, std::function<void(std::exception_ptr)> done = {});

  std::vector<ModelStatus> status() const;  ///< in the order of the configuration
  const std::string& default_name() const noexcept { return default_name_; }
  bool ready() const;  ///< every model is ready
  /// Until no first load is outstanding. True if every model is ready, false if one failed or the
  /// time is up.
  bool wait_loaded(std::chrono::milliseconds timeout) const;

  /// Every device of the configuration, whether or not a model could be prepared on it.
  const std::vector<DeviceId>& devices() const noexcept { return devices_; }

 private:
  using Reloaded = std::function<void(std::exception_ptr)>;
  struct Entry {
    ModelConfig config;
    std::vector<DetectOptions> placements;  ///< config's, devices resolved
    ModelStatus status;
    std::shared_ptr<const ServedModel> current;
    bool queued = false;
    std::vector<Reloaded> waiting;  ///< of the load that is queued
  };

  const Entry& find(std::string_view name) const;
  void load_queued();
  void load(std::size_t index);

  RegistryOptions options_;
  std::string default_name_;
  std::vector<DeviceId> devices_;

  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  std::vector<Entry> entries_;
  std::deque<std::size_t> queue_;  ///< entries to load
  bool stopping_ = false;
  std::thread loader_;  ///< last: everything above exists before it starts
};

}  // namespace itemcrop::scheduler
