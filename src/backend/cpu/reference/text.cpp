#include "backend/cpu/reference/reference_executor.h"

namespace itemcrop::cpu::reference {

void ReferenceExecutor::embed_tokens(std::span<const std::int32_t> ids,
                                     std::span<const std::int32_t> position_ids,
                                     const ops::Constant& words, const ops::Constant& positions,
                                     const ops::Constant& types, Matrix y) {
  for (std::int64_t r = 0; r < y.rows; ++r) {
    const auto i = static_cast<std::size_t>(r);
    const float* word = words.data() + ids[i] * words.cols();
    const float* position = positions.data() + position_ids[i] * positions.cols();
    for (std::int64_t c = 0; c < y.cols; ++c) {
      y.row<float>(r)[c] = word[c] + position[c] + types.data()[c];
    }
  }
}

}  // namespace itemcrop::cpu::reference
