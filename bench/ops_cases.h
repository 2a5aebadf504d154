#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "ops/backend.h"

namespace itemcrop::bench {

/// kTiny: grounding-dino-tiny at 800 x 1333 with 16 text tokens; kSmall: odd sizes for checks.
enum class Size { kSmall, kTiny };

/// One op with its weights and matrices, ready to run any number of times.
class OpCase {
 public:
  virtual ~OpCase() = default;
  virtual void run() = 0;
  virtual std::vector<float> result() = 0;
  double flops() const { return flops_; }
  double bytes() const { return bytes_; }  ///< activations read and written, once each

 protected:
  double flops_ = 0;
  double bytes_ = 0;
};

struct Case {
  std::string name;
  double per_image;  ///< how often the model runs it on one image
  std::function<std::unique_ptr<OpCase>(const ops::Backend&, Size, int threads)> make;
};

std::vector<Case> cases();

}  // namespace itemcrop::bench
