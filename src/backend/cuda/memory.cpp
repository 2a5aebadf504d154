#include <algorithm>
#include <cstring>
#include <string>

#include "itemcrop/error.h"

#include "backend/cuda/descriptors.h"
#include "backend/cuda/executor.h"
#include "backend/cuda/kernels/rows.h"

namespace itemcrop::cuda {
namespace {

/// A dry run's addresses: never read, but as aligned as real ones.
constexpr std::uintptr_t kDryRunAddress = std::uintptr_t{1} << 32;
constexpr std::size_t kDryRunBytes = std::size_t{1} << 46;

std::size_t bytes_of(std::int64_t rows, std::int64_t cols, DType dtype) {
  return static_cast<std::size_t>(rows * cols) * size_of(dtype);
}

}  // namespace

ops::Matrix CudaExecutor::allocate(std::int64_t rows, std::int64_t cols, DType dtype) {
  if (extents_[0].used == 0 && extents_[1].used == 0 && !is_dry_run()) {
    // A new call, perhaps of another thread; an earlier one may have ended early.
    select_device(device_->index);
    commands_.clear();
    small_products_.clear();
    forked_ = false;
    wait();
    for (Extent& extent : extents_) extent.reached = 0;
  }
  const std::size_t bytes = std::max(kAlignment, aligned(bytes_of(rows, cols, dtype)));
  const std::size_t arena_bytes =
      is_dry_run() ? kDryRunBytes : arena_.bytes() / kAlignment * kAlignment;
  // What the other branch gave back may still be read by its work.
  Extent& extent = this->extent();
  const Extent& other = extents_[branch_ == ops::Branch::kMain ? 1 : 0];
  const std::size_t used = extent.used + other.reached;
  if (arena_bytes < used || arena_bytes - used < bytes) {
    throw Error(ErrorCode::kInternal, "an arena of " + std::to_string(arena_bytes) +
                                          " bytes has no room for " + std::to_string(bytes) +
                                          " more than " + std::to_string(used));
  }
  const std::size_t at =
      branch_ == ops::Branch::kMain ? extent.used : arena_bytes - extent.used - bytes;
  void* const data = is_dry_run() ? reinterpret_cast<void*>(kDryRunAddress + at)
                                  : static_cast<void*>(arena_.data() + at);
  extent.used += bytes;
  extent.reached = std::max(extent.reached, extent.used);
  extent.peak = std::max(extent.peak, extent.used);
  return {data, dtype, rows, cols, cols};
}

void CudaExecutor::execute(const ops::Upload& op) {
  if (is_dry_run()) return;
  const std::size_t bytes = bytes_of(op.y.rows, op.y.cols, DType::kF32);
  const Staging::Piece piece = staging_.take(bytes);
  std::memcpy(piece.host, op.host, bytes);
  launch(kernels::launch_copy,
         {.x = {piece.device, DType::kF32, op.y.rows, op.y.cols, op.y.cols}, .y = op.y});
}

void CudaExecutor::execute(const ops::UploadIndices& op) {
  const Array<std::int32_t> values = staged(op.host);
  launch(kernels::launch_copy,
         {.x = {const_cast<std::int32_t*>(values.data), DType::kI32, op.y.rows, 1, 1}, .y = op.y});
}

void CudaExecutor::execute(const ops::Download& op) {
  if (op.x.rows == 0) return;
  const std::size_t row_bytes = bytes_of(1, op.x.cols, DType::kF32);
  // What needs a copy is converted in pieces of a constant size, so that a dry run counts the same.
  constexpr std::size_t kPieceBytes = std::size_t{1} << 20;
  const std::int64_t rows =
      std::clamp(static_cast<std::int64_t>(kPieceBytes / row_bytes), std::int64_t{1}, op.x.rows);
  const bool plain = op.x.dtype == DType::kF32 && (op.x.stride == op.x.cols || op.x.rows == 1);
  const Matrix dense = plain ? Matrix{} : allocate(rows, op.x.cols, DType::kF32);
  if (is_dry_run()) return;
  join();
  // Every piece is waited for, so what needs no copy is one piece up to a bound.
  constexpr std::size_t kMaxBytes = std::size_t{64} << 20;
  const std::size_t wanted =
      plain ? std::clamp(row_bytes * static_cast<std::size_t>(op.x.rows), row_bytes, kMaxBytes)
            : row_bytes * static_cast<std::size_t>(rows);
  if (wanted > results_.bytes()) results_ = Memory(MemoryKind::kPinned, wanted);
  const std::int64_t at_once =
      plain ? static_cast<std::int64_t>(results_.bytes() / row_bytes) : rows;
  for (std::int64_t row = 0; row < op.x.rows; row += at_once) {
    const std::int64_t count = std::min(at_once, op.x.rows - row);
    Matrix part = op.x.row_range(row, count);
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
    std::memcpy(op.host + row * op.x.cols, results_.data(), bytes);
  }
}

void CudaExecutor::execute(const ops::DownloadIndices& op) {
  // Indices are copied as the 4-byte values they are, whatever the stride.
  Matrix values = op.x;
  if (op.x.stride != 1 && op.x.rows > 1) {
    values = allocate(op.x.rows, 1, DType::kI32);
    launch(kernels::launch_copy, {.x = op.x, .y = values});
  }
  if (is_dry_run()) return;
  join();
  const auto rows = static_cast<std::int64_t>(results_.bytes() / sizeof(std::int32_t));
  for (std::int64_t row = 0; row < op.x.rows; row += rows) {
    const std::int64_t count = std::min(rows, op.x.rows - row);
    const auto bytes = static_cast<std::size_t>(count) * sizeof(std::int32_t);
    launch_small_products();
    commands_.add(Copy{results_.data(), values.row<std::int32_t>(row), bytes});
    send();
    wait();
    std::memcpy(op.host + row, results_.data(), bytes);
  }
}

void CudaExecutor::execute(const ops::Copy& op) {
  launch(kernels::launch_copy, {.x = op.x, .y = op.y});
}

void CudaExecutor::execute(const ops::Assign& op) {
  launch(kernels::launch_copy, {.x = {const_cast<float*>(op.table.data()), DType::kF32, op.y.rows,
                                      op.y.cols, op.table.cols()},
                                .y = op.y});
}

void CudaExecutor::execute(const ops::GatherRows& op) {
  launch(kernels::launch_gather, {.x = op.x, .indices = op.indices, .y = op.y});
}

}  // namespace itemcrop::cuda
