#pragma once

#include <algorithm>
#include <functional>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "itemcrop/model.h"

namespace itemcrop::test {

/// A Model without an engine: by default the item with index i is found at the same place in every
/// image (a tenth of it, moved right by i tenths) with score 0.9 - i / 10, distractors are not
/// returned and items whose prompt starts with "no " are not found.
class FakeModel : public Model {
 public:
  using Answer = std::function<DetectResult(const DetectRequest&)>;

  explicit FakeModel(Answer answer = find_all) : answer_(std::move(answer)) {
    info_.name = "fake";
    info_.model_type = "grounding-dino";
    info_.stored_dtype = "F32";
    info_.parameters = 1234567;
    info_.tensors = 89;
    info_.queries = 100;
    info_.max_text_tokens = 256;
    info_.shortest_edge = 800;
    info_.longest_edge = 1333;
    info_.details = {{"Backbone", "none"}};
  }

  const ModelInfo& info() const noexcept override { return info_; }

  DetectReport detect(std::span<const DetectRequest> requests,
                      const DetectOptions& options) const override {
    const std::lock_guard lock(mutex_);
    batches_.push_back(requests.size());
    DetectReport report;
    report.device = Device::kCpu;
    report.precision = options.precision == Precision::kAuto ? Precision::kFp32 : options.precision;
    for (const DetectRequest& request : requests) report.results.push_back(answer_(request));
    return report;
  }

  void prepare(const DetectOptions&) const override {}

  int count_passes(std::span<const Item> items, const DetectOptions&) const override {
    return items.empty() ? 0 : 1;
  }

  MemoryEstimate estimate(std::span<const DetectRequest> requests,
                          const DetectOptions&) const override {
    for (const DetectRequest& request : requests) {
      for (const Item& item : request.items) {
        if (item.prompt == "refused") {
          throw Error(ErrorCode::kInvalidArgument, "items[0].prompt 'refused' is refused");
        }
      }
    }
    return {};
  }

  /// Requests of each detect() so far.
  std::vector<std::size_t> batches() const {
    const std::lock_guard lock(mutex_);
    return batches_;
  }

  static DetectResult find_all(const DetectRequest& request) {
    DetectResult result;
    const auto width = static_cast<float>(request.image.width);
    const auto height = static_cast<float>(request.image.height);
    for (std::size_t i = 0; i < request.items.size(); ++i) {
      const Item& item = request.items[i];
      if (item.distractor) continue;
      if (item.prompt.starts_with("no ")) {
        result.not_found.push_back(item.prompt);
        continue;
      }
      const auto step = static_cast<float>(i) / 10;
      Detection detection;
      detection.item = item.prompt;
      detection.item_index = static_cast<int>(i);
      detection.score = 0.9F - step;
      detection.box = {step * width, 0.25F * height, (step + 0.1F) * width, 0.75F * height};
      for (const Item& other : request.items) {
        detection.scores.push_back(
            {other.prompt, other.prompt == item.prompt ? 0.9F - step : 0.1F});
      }
      result.detections.push_back(detection);
    }
    result.timing = {1.5, 20.25, 0.5};
    return result;
  }

 private:
  ModelInfo info_;
  Answer answer_;
  mutable std::mutex mutex_;
  mutable std::vector<std::size_t> batches_;
};

}  // namespace itemcrop::test
