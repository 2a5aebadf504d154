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

void ReferenceExecutor::upload(const float* host, Matrix y) {
  for (std::int64_t r = 0; r < y.rows; ++r) std::copy_n(host + r * y.cols, y.cols, y.row<float>(r));
}

void ReferenceExecutor::download(Matrix x, float* host) {
  for (std::int64_t r = 0; r < x.rows; ++r) std::copy_n(x.row<float>(r), x.cols, host + r * x.cols);
}

void ReferenceExecutor::upload_indices(std::span<const std::int32_t> host, Matrix y) {
  for (std::int64_t r = 0; r < y.rows; ++r) {
    *y.row<std::int32_t>(r) = host[static_cast<std::size_t>(r)];
  }
}

void ReferenceExecutor::download_indices(Matrix x, std::int32_t* host) {
  for (std::int64_t r = 0; r < x.rows; ++r) host[r] = *x.row<std::int32_t>(r);
}

void ReferenceExecutor::copy(Matrix x, Matrix y) {
  for (std::int64_t r = 0; r < y.rows; ++r) std::copy_n(x.row<float>(r), y.cols, y.row<float>(r));
}

void ReferenceExecutor::assign(const ops::Constant& table, Matrix y) { upload(table.data(), y); }

void ReferenceExecutor::gather_rows(Matrix x, Matrix indices, Matrix y) {
  for (std::int64_t r = 0; r < y.rows; ++r) {
    std::copy_n(x.row<float>(*indices.row<std::int32_t>(r)), y.cols, y.row<float>(r));
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
