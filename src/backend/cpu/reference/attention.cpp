#include <algorithm>
#include <limits>

#include "backend/cpu/reference/reference_executor.h"
#include "backend/cpu/reference/rows.h"

namespace itemcrop::cpu::reference {
namespace {

bool may_attend(std::span<const std::int32_t> blocks, std::int64_t query, std::int64_t key) {
  return blocks.empty() ||
         blocks[static_cast<std::size_t>(query)] == blocks[static_cast<std::size_t>(key)];
}

}  // namespace

void ReferenceExecutor::execute(const ops::Attention& op) {
  std::int64_t max_keys = 0;
  for (const ops::Segment& keys : op.key_segments) max_keys = std::max(max_keys, keys.rows);
  scratch_.reserve(static_cast<std::size_t>(max_keys));
  const std::int64_t head_dim = op.query.cols / op.heads;
  const std::int64_t value_dim = op.value.cols / op.heads;

  for (std::size_t sample = 0; sample < op.query_segments.size(); ++sample) {
    const ops::Segment queries = op.query_segments[sample];
    const ops::Segment keys = op.key_segments[sample];
    for_rows(queries.rows, [&](std::int64_t r, int worker) {
      const std::int64_t q = queries.begin + r;
      float* scores = scratch_.of(worker);
      for (std::int64_t head = 0; head < op.heads; ++head) {
        const float* query = op.query.row<float>(q) + head * head_dim;
        for (std::int64_t i = 0; i < keys.rows; ++i) {
          const std::int64_t k = keys.begin + i;
          scores[i] = may_attend(op.blocks, q, k)
                          ? op.scale * dot(query, op.key.row<float>(k) + head * head_dim, head_dim)
                          : -std::numeric_limits<float>::infinity();
        }
        softmax_row(scores, keys.rows);
        float* output = op.y.row<float>(q) + head * value_dim;
        std::fill_n(output, value_dim, 0.0F);
        for (std::int64_t i = 0; i < keys.rows; ++i) {
          accumulate(scores[i], op.value.row<float>(keys.begin + i) + head * value_dim, value_dim,
                     output);
        }
      }
    });
  }
}

}  // namespace itemcrop::cpu::reference
