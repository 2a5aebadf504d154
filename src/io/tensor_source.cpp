#include "io/tensor_source.h"

namespace itemcrop::io {

std::int64_t StoredTensor::elements() const noexcept {
  return static_cast<std::int64_t>(bytes / size_of(dtype));
}

std::string to_string(const std::vector<std::int64_t>& shape) {
  std::string text = "[";
  for (const std::int64_t size : shape) {
    text += (text.size() > 1 ? ", " : "") + std::to_string(size);
  }
  return text + "]";
}

}  // namespace itemcrop::io
