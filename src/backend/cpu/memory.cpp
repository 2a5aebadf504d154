#include <algorithm>
#include <cstring>

#include "backend/cpu/executor.h"
#include "backend/cpu/tile.h"

namespace itemcrop::cpu {
namespace {

float load(const ops::Matrix& x, std::int64_t row, std::int64_t col) {
  switch (x.dtype) {
    case DType::kBF16:
      return bf16_to_float(x.row<std::uint16_t>(row)[col]);
    case DType::kF16:
      return f16_to_float(x.row<std::uint16_t>(row)[col]);
    default:
      return x.row<float>(row)[col];
  }
}

void copy_row(const ops::Matrix& x, std::int64_t from, const ops::Matrix& y, std::int64_t to) {
  if (x.dtype == y.dtype) {
    std::memcpy(y.row<std::byte>(0) + static_cast<std::size_t>(to * y.stride) * size_of(y.dtype),
                x.row<std::byte>(0) + static_cast<std::size_t>(from * x.stride) * size_of(x.dtype),
                static_cast<std::size_t>(x.cols) * size_of(x.dtype));
  } else if (y.dtype == DType::kBF16) {
    for (std::int64_t c = 0; c < x.cols; ++c) {
      y.row<std::uint16_t>(to)[c] = float_to_bf16(load(x, from, c));
    }
  } else {
    for (std::int64_t c = 0; c < x.cols; ++c) y.row<float>(to)[c] = load(x, from, c);
  }
}

}  // namespace

CpuExecutor::CpuExecutor(std::shared_ptr<const GemmEngine> gemm, bool bf16, int threads,
                         std::size_t arena_bytes)
    : gemm_(std::move(gemm)),
      bf16_(bf16),
      pool_(threads),
      arena_(arena_bytes),
      workers_(static_cast<std::size_t>(threads)) {}

ops::Matrix CpuExecutor::allocate(std::int64_t rows, std::int64_t cols, DType dtype) {
  void* data = arena_.allocate(static_cast<std::size_t>(rows * cols) * size_of(dtype));
  return {data, dtype, rows, cols, cols};
}

std::size_t CpuExecutor::peak_bytes() const noexcept {
  std::size_t total = arena_.peak() + shared_.bytes();
  for (const Workspace& worker : workers_) total += worker.bytes();
  return total;
}

void CpuExecutor::execute(const ops::Upload& op) {
  const Matrix x{const_cast<float*>(op.host), DType::kF32, op.y.rows, op.y.cols, op.y.cols};
  execute(ops::Copy{x, op.y});
}

void CpuExecutor::execute(const ops::Download& op) {
  execute(ops::Copy{op.x, {op.host, DType::kF32, op.x.rows, op.x.cols, op.x.cols}});
}

void CpuExecutor::execute(const ops::UploadIndices& op) {
  for (std::int64_t r = 0; r < op.y.rows; ++r) {
    *op.y.row<std::int32_t>(r) = op.host[static_cast<std::size_t>(r)];
  }
}

void CpuExecutor::execute(const ops::DownloadIndices& op) {
  for (std::int64_t r = 0; r < op.x.rows; ++r) op.host[r] = *op.x.row<std::int32_t>(r);
}

void CpuExecutor::execute(const ops::Copy& op) {
  for_tiles(op.x.rows, [&](const RowTile& tile, Workspace&) {
    for (std::int64_t r = tile.begin; r < tile.begin + tile.rows; ++r) copy_row(op.x, r, op.y, r);
  });
}

void CpuExecutor::execute(const ops::Assign& op) { execute(ops::Upload{op.table.data(), op.y}); }

void CpuExecutor::execute(const ops::GatherRows& op) {
  for_tiles(op.y.rows, [&](const RowTile& tile, Workspace&) {
    for (std::int64_t r = tile.begin; r < tile.begin + tile.rows; ++r) {
      copy_row(op.x, *op.indices.row<std::int32_t>(r), op.y, r);
    }
  });
}

void CpuExecutor::for_tasks(std::int64_t tasks, const TaskBody& body) {
  pool_.parallel_for(tasks, [&](std::int64_t task, int worker) {
    Workspace& workspace = workers_[static_cast<std::size_t>(worker)];
    workspace.reset();
    body(task, workspace);
  });
}

void CpuExecutor::for_tiles(std::span<const ops::Segment> segments, const TileBody& body,
                            std::int64_t tile_rows) {
  if (tile_rows == 0) {
    constexpr std::int64_t kSmallest = 32;
    constexpr std::int64_t kTilesPerWorker = 4;
    std::int64_t rows = 0;
    for (const ops::Segment& segment : segments) rows += segment.rows;
    tile_rows =
        std::clamp(padded_rows(rows / (kTilesPerWorker * pool_.size())), kSmallest, kTileRows);
  }
  std::vector<RowTile> tiles;
  for (std::size_t s = 0; s < segments.size(); ++s) {
    for (std::int64_t row = 0; row < segments[s].rows; row += tile_rows) {
      tiles.push_back({segments[s].begin + row, std::min(tile_rows, segments[s].rows - row), s});
    }
  }
  for_tasks(static_cast<std::int64_t>(tiles.size()), [&](std::int64_t task, Workspace& workspace) {
    body(tiles[static_cast<std::size_t>(task)], workspace);
  });
}

void CpuExecutor::for_tiles(std::int64_t rows, const TileBody& body) {
  const ops::Segment all{0, rows};
  for_tiles(std::span(&all, 1), body);
}

}  // namespace itemcrop::cpu
