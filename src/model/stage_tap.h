#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "ops/executor.h"

namespace itemcrop::model {

/// Receives a copy of an intermediate result: its stage's name ("swin.stage1",
/// "encoder.layer0.vision", ...), the image's or sample's index in the batch, and fp32 values,
/// row-major [rows, cols], rows being tokens. For parity tests and debugging; slow.
using StageCallback = std::function<void(std::string_view name, int index, const float* values,
                                         std::int64_t rows, std::int64_t cols)>;

/// Where the model reports its stages. Without a callback it does nothing.
class StageTap {
 public:
  StageTap() = default;
  explicit StageTap(StageCallback callback) : callback_(std::move(callback)) {}

  explicit operator bool() const noexcept { return static_cast<bool>(callback_); }

  /// The same listener, with `first` added to every index.
  StageTap offset(int first) const;

  void operator()(ops::Executor& executor, std::string_view name, ops::Matrix x,
                  std::span<const ops::Segment> segments) const;
  void operator()(ops::Executor& executor, std::string_view name, ops::Matrix x,
                  std::span<const ops::Grid> grids) const;
  void values(std::string_view name, int index, const float* values, std::int64_t rows,
              std::int64_t cols) const {
    if (callback_) callback_(name, index, values, rows, cols);
  }

 private:
  StageCallback callback_;
};

}  // namespace itemcrop::model
