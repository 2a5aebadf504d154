#include "io/weights.h"

#include <algorithm>
#include <cstring>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "itemcrop/error.h"

#include "io/safetensors.h"
#include "io/weight_table.h"

namespace itemcrop::io {
namespace {

constexpr std::size_t kMaxReported = 10;

/// Tensors that published checkpoints carry and no weight of the model is: index buffers, which
/// follow from the config, and Swin's last norm, which transformers 5 saves but a backbone never
/// applies.
bool is_ignored(std::string_view name) {
  constexpr std::string_view kSuffixes[] = {".relative_position_index", ".position_ids",
                                            ".num_batches_tracked", ".swin.layernorm.weight",
                                            ".swin.layernorm.bias"};
  return std::any_of(std::begin(kSuffixes), std::end(kSuffixes),
                     [&](std::string_view suffix) { return name.ends_with(suffix); });
}

bool is_floating(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16;
}

bool same_values(const StoredTensor& a, const StoredTensor& b) {
  return a.dtype == b.dtype && a.bytes == b.bytes &&
         (a.bytes == 0 || std::memcmp(a.data, b.data, a.bytes) == 0);
}

/// A scalar is stored as one or as a vector of one.
bool has_shape(const StoredTensor& tensor, const WeightSpec& spec) {
  return tensor.shape == spec.shape ||
         (spec.shape.empty() && tensor.shape == std::vector<std::int64_t>{1});
}

/// The part of `name` that is a number after `prefix` and a dot, empty if it does not start so.
std::string_view layer_after(std::string_view name, std::string_view prefix) {
  if (!name.starts_with(prefix)) {
    return {};
  }
  name.remove_prefix(prefix.size());
  return name.substr(0, name.find('.'));
}

/// Whether a checkpoint holds the head `name` ("bbox_embed") of one decoder layer alone.
bool is_stored_once(const TensorSource& source, const std::string& name) {
  std::set<std::string_view> layers;
  for (const std::string_view tensor : source.names()) {
    for (const std::string& prefix : {name + ".", "model.decoder." + name + "."}) {
      const std::string_view layer = layer_after(tensor, prefix);
      if (!layer.empty()) {
        layers.insert(layer);
      }
    }
  }
  return layers.size() == 1;
}

/// mm-grounding-dino has no share flags. Published checkpoints have a head a layer; transformers
/// shares the heads of a model that it makes from a config, and saves the first alone.
void share_heads_stored_once(ModelConfig& config, const TensorSource& source) {
  if (config.kind != ModelKind::kMmGroundingDino) {
    return;
  }
  config.decoder_bbox_embed_share = is_stored_once(source, "bbox_embed");
  config.class_embed_share = is_stored_once(source, "class_embed");
}

/// What contradicts the config, gathered so that one error can list it.
class Problems {
 public:
  void add(std::string what) {
    ++count_;
    if (listed_.size() < kMaxReported) {
      listed_.push_back(std::move(what));
    }
  }

  void throw_if_any(const std::string& origin) const {
    if (count_ == 0) {
      return;
    }
    std::string text = origin + " does not fit config.json: ";
    for (std::size_t i = 0; i < listed_.size(); ++i) {
      text += (i == 0 ? "" : "; ") + listed_[i];
    }
    if (count_ > listed_.size()) {
      text += "; and " + std::to_string(count_ - listed_.size()) + " more";
    }
    throw Error(ErrorCode::kCorruptModel, text);
  }

 private:
  std::size_t count_ = 0;
  std::vector<std::string> listed_;
};

/// The first of a weight's names that the source holds, after comparing all that it holds.
const StoredTensor* resolve(const WeightSpec& spec, const TensorSource& source,
                            Problems& problems) {
  const StoredTensor* chosen = nullptr;
  const auto consider = [&](const std::string& name) {
    const StoredTensor* tensor = source.find(name);
    if (tensor == nullptr) {
      return;
    }
    if (!has_shape(*tensor, spec)) {
      problems.add("tensor '" + name + "' has shape " + to_string(tensor->shape) + ", expected " +
                   to_string(spec.shape));
    } else if (!is_floating(tensor->dtype)) {
      problems.add("tensor '" + name + "' has element type " +
                   std::string(to_string(tensor->dtype)) + ", expected F32, F16 or BF16");
    } else if (chosen != nullptr && !same_values(*chosen, *tensor)) {
      problems.add("tensors '" + chosen->name + "' and '" + name +
                   "' are one shared weight but differ");
    }
    chosen = chosen == nullptr ? tensor : chosen;
  };
  consider(spec.name);
  std::for_each(spec.aliases.begin(), spec.aliases.end(), consider);
  if (chosen == nullptr) {
    problems.add("tensor '" + spec.name + "' is missing (expected shape " + to_string(spec.shape) +
                 ")");
  }
  return chosen;
}

}  // namespace

Weights::Weights(ModelConfig config, std::unique_ptr<TensorSource> source)
    : config_(std::move(config)), source_(std::move(source)) {
  share_heads_stored_once(config_, *source_);
  Problems problems;
  std::set<DType> dtypes;
  for (const WeightSpec& spec : weight_table(config_)) {
    const StoredTensor* tensor = resolve(spec, *source_, problems);
    if (tensor == nullptr) {
      continue;
    }
    by_name_.emplace(spec.name, tensor);
    for (const std::string& alias : spec.aliases) {
      by_name_.emplace(alias, tensor);
    }
    parameters_ += tensor->elements();
    ++tensors_;
    dtypes.insert(tensor->dtype);
  }
  for (const std::string_view name : source_->names()) {
    if (!by_name_.contains(std::string(name)) && !is_ignored(name)) {
      problems.add("tensor '" + std::string(name.substr(0, 200)) + "' is not part of the model");
    }
  }
  problems.throw_if_any(source_->origin());
  stored_dtype_ = dtypes.size() == 1 ? to_string(*dtypes.begin()) : "mixed";
}

const StoredTensor& Weights::at(std::string_view name) const {
  const auto found = by_name_.find(std::string(name));
  if (found == by_name_.end()) {
    throw Error(ErrorCode::kInternal, "no weight is named '" + std::string(name) + "'");
  }
  return *found->second;
}

std::shared_ptr<const Weights> load_weights(const std::filesystem::path& folder) {
  return std::make_shared<const Weights>(load_model_config(folder), open_checkpoint(folder));
}

}  // namespace itemcrop::io
