#include "backend/cpu/reference/reference_executor.h"

namespace itemcrop::cpu::reference {

void ReferenceExecutor::execute(const ops::EmbedTokens& op) {
  for (std::int64_t r = 0; r < op.y.rows; ++r) {
    const auto i = static_cast<std::size_t>(r);
    const float* word = op.words.data() + op.ids[i] * op.words.cols();
    const float* position = op.positions.data() + op.position_ids[i] * op.positions.cols();
    for (std::int64_t c = 0; c < op.y.cols; ++c) {
      op.y.row<float>(r)[c] = word[c] + position[c] + op.types.data()[c];
    }
  }
}

}  // namespace itemcrop::cpu::reference
