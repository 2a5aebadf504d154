#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "io/model_config.h"
#include "io/tensor_source.h"

namespace itemcrop::test {

/// A checkpoint of procedural weights in memory, F32, for any config.
class ProceduralSource final : public io::TensorSource {
 public:
  explicit ProceduralSource(const io::ModelConfig& config);

  const io::StoredTensor* find(std::string_view name) const override;
  std::vector<std::string_view> names() const override;
  const std::string& origin() const noexcept override { return origin_; }

 private:
  struct Entry {
    std::vector<float> values;
    io::StoredTensor tensor;
  };

  std::string origin_ = "procedural weights";
  std::map<std::string, Entry, std::less<>> entries_;
};

}  // namespace itemcrop::test
