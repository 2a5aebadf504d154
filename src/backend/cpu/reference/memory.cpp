#include <algorithm>

#include "backend/cpu/reference/reference_executor.h"

namespace itemcrop::cpu::reference {

ReferenceExecutor::ReferenceExecutor(int threads, std::size_t arena_bytes)
    : pool_(threads), arena_(arena_bytes), scratch_(threads) {}

ops::Matrix ReferenceExecutor::allocate(std::int64_t rows, std::int64_t cols, DType dtype) {
  void* data = arena_.allocate(static_cast<std::size_t>(rows * cols) * size_of(dtype));
  return {data, dtype, rows, cols, cols};
}

std::size_t ReferenceExecutor::peak_bytes() const noexcept {
  return arena_.peak() + scratch_.bytes();
}

void ReferenceExecutor::execute(const ops::Upload& op) {
  for (std::int64_t r = 0; r < op.y.rows; ++r)
    std::copy_n(op.host + r * op.y.cols, op.y.cols, op.y.row<float>(r));
}

void ReferenceExecutor::execute(const ops::Download& op) {
  for (std::int64_t r = 0; r < op.x.rows; ++r)
    std::copy_n(op.x.row<float>(r), op.x.cols, op.host + r * op.x.cols);
}

void ReferenceExecutor::execute(const ops::UploadIndices& op) {
  for (std::int64_t r = 0; r < op.y.rows; ++r) {
    *op.y.row<std::int32_t>(r) = op.host[static_cast<std::size_t>(r)];
  }
}

void ReferenceExecutor::execute(const ops::DownloadIndices& op) {
  for (std::int64_t r = 0; r < op.x.rows; ++r) op.host[r] = *op.x.row<std::int32_t>(r);
}

void ReferenceExecutor::execute(const ops::Copy& op) {
  for (std::int64_t r = 0; r < op.y.rows; ++r)
    std::copy_n(op.x.row<float>(r), op.y.cols, op.y.row<float>(r));
}

void ReferenceExecutor::execute(const ops::Assign& op) {
  execute(ops::Upload{op.table.data(), op.y});
}

void ReferenceExecutor::execute(const ops::GatherRows& op) {
  for (std::int64_t r = 0; r < op.y.rows; ++r) {
    std::copy_n(op.x.row<float>(*op.indices.row<std::int32_t>(r)), op.y.cols, op.y.row<float>(r));
  }
}

void ReferenceExecutor::for_row_blocks(
    std::int64_t rows, const std::function<void(std::int64_t, std::int64_t, int)>& body) {
  constexpr std::int64_t kBlock = 16;
  pool_.parallel_for((rows + kBlock - 1) / kBlock, [&](std::int64_t block, int worker) {
    const std::int64_t first = block * kBlock;
    body(first, std::min(kBlock, rows - first), worker);
  });
}

void ReferenceExecutor::for_rows(std::int64_t rows,
                                 const std::function<void(std::int64_t, int)>& body) {
  for_row_blocks(rows, [&](std::int64_t first, std::int64_t count, int worker) {
    for (std::int64_t r = first; r < first + count; ++r) body(r, worker);
  });
}

}  // namespace itemcrop::cpu::reference
