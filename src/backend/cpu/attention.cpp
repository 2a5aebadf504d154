#include <algorithm>
#include <limits>
#include <vector>

#include "backend/cpu/executor.h"
#include "backend/cpu/kernels/matmul.h"
#include "backend/cpu/kernels/softmax.h"

namespace itemcrop::cpu {
namespace {

/// Queries whose scores one step holds.
constexpr std::int64_t kQueryRows = 32;

/// Queries of one head and sample that one task computes, against all their keys.
struct Task {
  std::size_t sample;
  std::int64_t head;
  std::int64_t first;
  std::int64_t rows;
};

/// mask[q][k] = 0 where their blocks are equal, else -infinity.
void block_mask(std::span<const std::int32_t> blocks, std::int64_t query, std::int64_t rows,
                const ops::Segment& keys, float* mask) {
  for (std::int64_t r = 0; r < rows; ++r) {
    const std::int32_t block = blocks[static_cast<std::size_t>(query + r)];
    for (std::int64_t k = 0; k < keys.rows; ++k) {
      const bool equal = blocks[static_cast<std::size_t>(keys.begin + k)] == block;
      mask[r * keys.rows + k] = equal ? 0.0F : -std::numeric_limits<float>::infinity();
    }
  }
}

}  // namespace

void CpuExecutor::execute(const ops::Attention& op) {
  constexpr std::int64_t kTaskRows = 8 * kQueryRows;
  const std::int64_t head_dim = op.query.cols / op.heads;
  const std::int64_t value_dim = op.value.cols / op.heads;
  std::vector<Task> tasks;
  for (std::size_t sample = 0; sample < op.query_segments.size(); ++sample) {
    const std::int64_t rows = op.query_segments[sample].rows;
    for (std::int64_t head = 0; head < op.heads; ++head) {
      for (std::int64_t first = 0; first < rows; first += kTaskRows) {
        tasks.push_back({sample, head, first, std::min(kTaskRows, rows - first)});
      }
    }
  }

  for_tasks(static_cast<std::int64_t>(tasks.size()), [&](std::int64_t index, Workspace& workspace) {
    const Task& task = tasks[static_cast<std::size_t>(index)];
    const ops::Segment queries = op.query_segments[task.sample];
    const ops::Segment keys = op.key_segments[task.sample];
    // Copies: products run along rows of k^T, and read whole vectors of v.
    auto* transposed = workspace.take<float>(head_dim * keys.rows);
    kernels::transpose(op.key.row<float>(keys.begin) + task.head * head_dim, op.key.stride,
                       keys.rows, head_dim, transposed, keys.rows);
    auto* value = workspace.take<float>(keys.rows * value_dim);
    for (std::int64_t k = 0; k < keys.rows; ++k) {
      std::copy_n(op.value.row<float>(keys.begin + k) + task.head * value_dim, value_dim,
                  value + k * value_dim);
    }
    auto* scores = workspace.take<float>(kQueryRows * keys.rows);
    auto* mask = workspace.take<float>(op.blocks.empty() ? 0 : kQueryRows * keys.rows);
    for (std::int64_t first = task.first; first < task.first + task.rows; first += kQueryRows) {
      const std::int64_t rows = std::min(kQueryRows, task.first + task.rows - first);
      const std::int64_t query = queries.begin + first;
      kernels::matmul({.a = op.query.row<float>(query) + task.head * head_dim,
                       .a_row_stride = op.query.stride,
                       .b = transposed,
                       .b_stride = keys.rows,
                       .c = scores,
                       .c_stride = keys.rows,
                       .rows = rows,
                       .cols = keys.rows,
                       .inner = head_dim});
      kernels::SoftmaxRows softmax{
          .x = scores, .stride = keys.rows, .rows = rows, .cols = keys.rows, .scale = op.scale};
      if (!op.blocks.empty()) {
        block_mask(op.blocks, query, rows, keys, mask);
        softmax.mask = mask;
        softmax.mask_stride = keys.rows;
      }
      kernels::softmax_rows(softmax);
      kernels::matmul({.a = scores,
                       .a_row_stride = keys.rows,
                       .b = value,
                       .b_stride = value_dim,
                       .c = op.y.row<float>(query) + task.head * value_dim,
                       .c_stride = op.y.stride,
                       .rows = rows,
                       .cols = value_dim,
                       .inner = keys.rows});
    }
  });
}

}  // namespace itemcrop::cpu
