#pragma once

#include <array>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "itemcrop/model.h"

#include "scheduler/scheduler.h"
#include "support/fake_model.h"

namespace itemcrop::test {

/// A FakeModel whose calls go through a function first, which may wait or throw. Unlike FakeModel
/// it runs several calls at once and knows which device it was called for.
class ScriptedModel : public Model {
 public:
  using Step = std::function<void(std::span<const DetectRequest>, const DetectOptions&)>;

  explicit ScriptedModel(Step step = {}) : step_(std::move(step)) {}

  const ModelInfo& info() const noexcept override { return fake_.info(); }
  void prepare(const DetectOptions& options) const override {
    if (on_prepare) on_prepare(options);
  }
  int count_passes(std::span<const Item> items, const DetectOptions& options) const override {
    return on_count_passes ? on_count_passes(items) : fake_.count_passes(items, options);
  }
  MemoryEstimate estimate(std::span<const DetectRequest> requests,
                          const DetectOptions& options) const override {
    {
      const std::lock_guard lock(mutex_);
      ++estimates_;
    }
    MemoryEstimate estimate = fake_.estimate(requests, options);
    for (const DetectRequest& request : requests) {
      estimate.workspace_bytes += static_cast<std::size_t>(request.image.width) *
                                  static_cast<std::size_t>(request.image.height);
    }
    return estimate;
  }
  DetectReport detect(std::span<const DetectRequest> requests,
                      const DetectOptions& options) const override {
    {
      const std::lock_guard lock(mutex_);
      std::vector<std::string> prompts;
      for (const DetectRequest& request : requests) prompts.push_back(request.items.at(0).prompt);
      batches_.push_back(std::move(prompts));
      ++calls_[options.device_index];
    }
    if (step_) step_(requests, options);
    DetectReport report;
    report.device = options.device;
    report.device_name = "scripted " + std::to_string(options.device_index);
    report.precision = Precision::kFp32;
    for (const DetectRequest& request : requests) {
      report.results.push_back(FakeModel::find_all(request));
    }
    return report;
  }

  /// First prompts of every call, in order.
  std::vector<std::vector<std::string>> batches() const {
    const std::lock_guard lock(mutex_);
    return batches_;
  }
  std::vector<std::size_t> sizes() const {
    std::vector<std::size_t> result;
    for (const auto& batch : batches()) result.push_back(batch.size());
    return result;
  }
  int calls(int device_index) const {
    const std::lock_guard lock(mutex_);
    const auto found = calls_.find(device_index);
    return found == calls_.end() ? 0 : found->second;
  }
  int estimates() const {
    const std::lock_guard lock(mutex_);
    return estimates_;
  }

  std::function<void(const DetectOptions&)> on_prepare;
  std::function<int(std::span<const Item>)> on_count_passes;

 private:
  FakeModel fake_;
  Step step_;
  mutable std::mutex mutex_;
  mutable std::vector<std::vector<std::string>> batches_;
  mutable std::map<int, int> calls_;
  mutable int estimates_ = 0;
};

/// Holds up calls until it is opened, and tells when one has arrived.
class Gate {
 public:
  void pass() {
    std::unique_lock lock(mutex_);
    ++arrived_;
    changed_.notify_all();
    changed_.wait(lock, [this] { return open_; });
  }
  void open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }
  void close() {
    const std::lock_guard lock(mutex_);
    open_ = false;
  }
  void wait_arrived(int count = 1) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return arrived_ >= count; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool open_ = false;
  int arrived_ = 0;
};

/// How a task ended.
struct Ended {
  std::exception_ptr error;
  scheduler::Outcome outcome;

  bool ok() const { return error == nullptr; }
  ErrorCode code() const {
    try {
      std::rethrow_exception(error);
    } catch (const Error& known) {
      return known.code();
    }
  }
};

inline constexpr std::array<std::uint8_t, 48> kPixels{};

/// A 4 x 4 image looked through for `prompt`.
inline scheduler::Task make_task(const std::string& prompt,
                                 scheduler::Priority priority = scheduler::Priority::kInteractive) {
  scheduler::Task task;
  task.request.image = {kPixels.data(), 4, 4, 0};
  task.request.items.push_back({.prompt = prompt});
  task.priority = priority;
  return task;
}

inline std::future<Ended> submit(scheduler::Scheduler& scheduler, scheduler::Task task) {
  auto promise = std::make_shared<std::promise<Ended>>();
  std::future<Ended> future = promise->get_future();
  scheduler.submit(std::move(task),
                   [promise](std::exception_ptr error, scheduler::Outcome outcome) {
                     // A second answer would throw here and be seen as a broken test.
                     promise->set_value({error, std::move(outcome)});
                   });
  return future;
}

inline DetectOptions on_cpu() {
  DetectOptions options;
  options.device = Device::kCpu;
  return options;
}
inline DetectOptions on_gpu(int index) {
  DetectOptions options;
  options.device = Device::kCuda;
  options.device_index = index;
  return options;
}

/// A loaded registry of one model named "main", without a warm-up.
inline std::shared_ptr<scheduler::ModelRegistry> registry_of(
    std::shared_ptr<const Model> model, std::vector<DetectOptions> placements = {on_cpu()}) {
  scheduler::ModelConfig config;
  config.name = "main";
  config.loader = [model] { return model; };
  config.placements = std::move(placements);
  scheduler::RegistryOptions options;
  options.warm_up_width = 0;
  auto registry = std::make_shared<scheduler::ModelRegistry>(
      std::vector<scheduler::ModelConfig>{config}, "", options);
  registry->wait_loaded(std::chrono::seconds(20));
  return registry;
}

}  // namespace itemcrop::test
