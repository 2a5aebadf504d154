#include <algorithm>
#include <cstring>
#include <string>

#include "itemcrop/error.h"

#include "backend/cuda/descriptors.h"
#include "backend/cuda/kernels/rows.h"
#include "backend/cuda/op.h"

namespace itemcrop::cuda {
namespace {

/// A rehearsal's addresses: never read, but as aligned as real ones.
constexpr std::uintptr_t kRehearsed = std::uintptr_t{1} << 32;
constexpr std::size_t kRehearsedBytes = std::size_t{1} << 46;

std::size_t bytes_of(std::int64_t rows, std::int64_t cols, DType dtype) {
  return static_cast<std::size_t>(rows * cols) * size_of(dtype);
}

}  // namespace

ops::Matrix CudaExecutor::allocate(std::int64_t rows, std::int64_t cols, DType dtype) {
  if (extents_[0].used == 0 && extents_[1].used == 0 && !rehearses()) {
    // A new call, perhaps of another thread; an earlier one may have ended early.
    select_device(device_->index);
    commands_.clear();
    small_products_.clear();
    forked_ = false;
    wait();
  }
  const std::size_t bytes = std::max(kAlignment, aligned(bytes_of(rows, cols, dtype)));
  const std::size_t arena_bytes =
      rehearses() ? kRehearsedBytes : arena_.bytes() / kAlignment * kAlignment;
  const std::size_t used = extents_[0].used + extents_[1].used;
  if (arena_bytes - used < bytes) {
    throw Error(ErrorCode::kInternal, "an arena of " + std::to_string(arena_bytes) +
                                          " bytes has no room for " + std::to_string(bytes) +
                                          " more than " + std::to_string(used));
  }
  Extent& extent = this->extent();
  const std::size_t at =
      branch_ == ops::Branch::kMain ? extent.used : arena_bytes - extent.used - bytes;
  void* const data = rehearses() ? reinterpret_cast<void*>(kRehearsed + at)
                                 : static_cast<void*>(arena_.data() + at);
  extent.used += bytes;
  extent.peak = std::max(extent.peak, extent.used);
  return {data, dtype, rows, cols, cols};
}

void CudaExecutor::upload(const float* host, Matrix y) {
  const Op op(*this, "upload");
  if (rehearses()) return;
  const std::size_t bytes = bytes_of(y.rows, y.cols, DType::kF32);
  const Staging::Piece piece = staging_.take(bytes);
  std::memcpy(piece.host, host, bytes);
  launch(kernels::launch_copy, {.x = {piece.device, DType::kF32, y.rows, y.cols, y.cols}, .y = y});
}

void CudaExecutor::upload_indices(std::span<const std::int32_t> host, Matrix y) {
  const Op op(*this, "upload");
  const Array<std::int32_t> values = staged(host);
  launch(kernels::launch_copy,
         {.x = {const_cast<std::int32_t*>(values.data), DType::kI32, y.rows, 1, 1}, .y = y});
}

void CudaExecutor::download(Matrix x, float* host) {
  if (x.rows == 0) return;
  const Op op(*this, "download");
  const std::size_t row_bytes = bytes_of(1, x.cols, DType::kF32);
  // A rehearsal has no memory to say how much fits; the largest piece is what it counts.
  const std::size_t capacity = rehearses() ? std::size_t{1} << 20 : results_.bytes();
  const std::int64_t rows =
      std::clamp(static_cast<std::int64_t>(capacity / row_bytes), std::int64_t{1}, x.rows);
  const bool plain = x.dtype == DType::kF32 && (x.stride == x.cols || x.rows == 1);
  const Matrix dense = plain ? Matrix{} : allocate(rows, x.cols, DType::kF32);
  if (rehearses()) return;
  join();
  if (row_bytes > results_.bytes()) results_ = Memory(MemoryKind::kPinned, row_bytes);
  for (std::int64_t row = 0; row < x.rows; row += rows) {
    const std::int64_t count = std::min(rows, x.rows - row);
    Matrix part = x.row_range(row, count);
    if (!plain) {
      const Matrix copy = dense.row_range(0, count);
      launch(kernels::launch_copy, {.x = part, .y = copy});
      part = copy;
    }
    const std::size_t bytes = static_cast<std::size_t>(count) * row_bytes;
    launch_small_products();
    commands_.add(Copy{results_.data(), part.data, bytes});
    send();
    wait();
    std::memcpy(host + row * x.cols, results_.data(), bytes);
  }
}

void CudaExecutor::download_indices(Matrix x, std::int32_t* host) {
  // Indices are copied as the 4-byte values they are, whatever the stride.
  Matrix values = x;
  const Op op(*this, "download");
  if (x.stride != 1 && x.rows > 1) {
    values = allocate(x.rows, 1, DType::kI32);
    launch(kernels::launch_copy, {.x = x, .y = values});
  }
  if (rehearses()) return;
  join();
  const auto rows = static_cast<std::int64_t>(results_.bytes() / sizeof(std::int32_t));
  for (std::int64_t row = 0; row < x.rows; row += rows) {
    const std::int64_t count = std::min(rows, x.rows - row);
    const auto bytes = static_cast<std::size_t>(count) * sizeof(std::int32_t);
    launch_small_products();
    commands_.add(Copy{results_.data(), values.row<std::int32_t>(row), bytes});
    send();
    wait();
    std::memcpy(host + row, results_.data(), bytes);
  }
}

void CudaExecutor::copy(Matrix x, Matrix y) {
  const Op op(*this, "copy");
  launch(kernels::launch_copy, {.x = x, .y = y});
}

void CudaExecutor::assign(const ops::Constant& table, Matrix y) {
  const Op op(*this, "assign");
  launch(
      kernels::launch_copy,
      {.x = {const_cast<float*>(table.data()), DType::kF32, y.rows, y.cols, table.cols()}, .y = y});
}

void CudaExecutor::gather_rows(Matrix x, Matrix indices, Matrix y) {
  const Op op(*this, "gather_rows");
  launch(kernels::launch_gather, {.x = x, .indices = indices, .y = y});
}

}  // namespace itemcrop::cuda
