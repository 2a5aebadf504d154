#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "io/model_config.h"
#include "io/tensor_source.h"

namespace itemcrop::io {

/// A checkpoint that agrees with its config: every weight of weight_table() present with its shape
/// and a floating element type, repeats of a shared weight byte-equal, and nothing else but the
/// buffers that published checkpoints carry (relative_position_index, position_ids,
/// num_batches_tracked). Values are not inspected. Const use is thread-safe.
class Weights {
 public:
  /// Throws Error(kCorruptModel) that lists what is missing, extra or misshapen (the first ten).
  Weights(ModelConfig config, std::unique_ptr<TensorSource> source);

  /// By canonical name or alias. Throws Error(kInternal) for a name that is not in the table.
  const StoredTensor& at(std::string_view name) const;

  const ModelConfig& config() const noexcept { return config_; }
  const TensorSource& source() const noexcept { return *source_; }
  /// Elements of all weights, shared ones counted once.
  std::int64_t parameters() const noexcept { return parameters_; }
  /// Number of weights, shared ones counted once.
  std::int64_t tensors() const noexcept { return tensors_; }
  /// "F32", "F16", "BF16" or "mixed".
  const std::string& stored_dtype() const noexcept { return stored_dtype_; }

 private:
  ModelConfig config_;
  std::unique_ptr<TensorSource> source_;
  std::unordered_map<std::string, const StoredTensor*> by_name_;
  std::int64_t parameters_ = 0;
  std::int64_t tensors_ = 0;
  std::string stored_dtype_;
};

/// Opens a published folder: config.json, preprocessor_config.json and its safetensors.
std::shared_ptr<const Weights> load_weights(const std::filesystem::path& folder);

}  // namespace itemcrop::io
