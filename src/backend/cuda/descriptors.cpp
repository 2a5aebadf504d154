#include "backend/cuda/descriptors.h"

#include "backend/cuda/kernels/plan.h"

namespace itemcrop::cuda {

CudaExecutor::Array<ops::Segment> CudaExecutor::segments(std::span<const ops::Segment> segments) {
  std::string key = "segments";
  key << segments;
  return cached<Array<ops::Segment>>(std::move(key), [&] { return staged(segments); });
}

CudaExecutor::Array<ops::Grid> CudaExecutor::grids(std::span<const ops::Grid> grids) {
  std::string key = "grids";
  key << grids;
  return cached<Array<ops::Grid>>(std::move(key), [&] { return staged(grids); });
}

CudaExecutor::Array<kernels::Tile> CudaExecutor::tiles(std::span<const ops::Segment> segments,
                                                       std::int64_t rows) {
  std::string key = "segment tiles";
  key << segments << rows;
  return cached<Array<kernels::Tile>>(std::move(key),
                                      [&] { return staged(kernels::tiles_of(segments, rows)); });
}

CudaExecutor::Array<kernels::Tile> CudaExecutor::tiles(std::span<const ops::Grid> grids,
                                                       std::int64_t rows) {
  std::string key = "grid tiles";
  key << grids << rows;
  return cached<Array<kernels::Tile>>(std::move(key),
                                      [&] { return staged(kernels::tiles_of(grids, rows)); });
}

}  // namespace itemcrop::cuda
