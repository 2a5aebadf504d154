#include "model/prediction_head.h"

#include <cmath>

namespace itemcrop::model {

PredictionHead::PredictionHead(const WeightLoader& loader, const std::string& name, int layers) {
  for (int i = 0; i < layers; ++i) {
    layers_.push_back(loader.linear(name + ".layers." + std::to_string(i), Bias::kYes,
                                    ops::WeightPrecision::kHead));
  }
}

void PredictionHead::run(ops::Executor& executor, ops::Matrix x, ops::Matrix y) const {
  const ops::ArenaScope scope(executor);
  for (std::size_t i = 0; i + 1 < layers_.size(); ++i) {
    ops::Matrix hidden =
        executor.allocate(x.rows, layers_[i]->outputs(), layers_[i + 1]->rows_dtype());
    executor.run(ops::Linear{x, *layers_[i], hidden, {.activation = ops::Activation::kRelu}});
    x = hidden;
  }
  executor.run(ops::Linear{x, *layers_.back(), y});
}

ClassHead load_class_head(const WeightLoader& loader, const std::string& bias) {
  const io::ModelConfig& config = loader.config();
  if (!config.biased_logits) return {};
  return {1.0F / std::sqrt(static_cast<float>(config.d_model)), loader.values(bias).front()};
}

}  // namespace itemcrop::model
