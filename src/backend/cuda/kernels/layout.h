#pragma once

#include <cstddef>
#include <cstdint>

#include "ops/tensor.h"

/// The seam between the executor (host) and the device code. No CUDA header is included from here:
/// the same sources run on a GPU and, emulated, on the CPU (backend/cuda/emulation).
///
/// Rules of every launch:
/// - It is asynchronous on `stream`, allocates nothing and waits for nothing, so it may be
/// captured.
/// - All pointers, those to descriptors included, are device memory and must live until the launch
///   has run (as long as a graph that holds it).
/// - Host values (matrix shapes, counts) shape the launch. Lists of tiles may be padded with tiles
/// of
///   no rows, so a graph made for more tiles runs with fewer.
/// - Shapes are those of ops/executor.h and were checked by the planner.
/// - Float matrices are kF32, kF16 or kBF16. Those of one launch have one type unless its header
///   says otherwise. Rows must start at multiples of 16 bytes where a matrix is wide: base and
///   stride. Launches look, and take a slower path where they do not.
/// - Sums run in an order that depends on a sample's own rows only: the same answer in any batch.
namespace itemcrop::cuda::kernels {

/// cudaStream_t; ignored by the emulation.
using Stream = void*;

/// Whether what this thread launches may come to the device before the stream's previous kernel has
/// ended (programmatic dependent launch); it then waits for it there. Only after a kernel, and only
/// if early_launches_work(). Of the next kernel, and of those that follow it in the same launch
/// function.
struct EarlyLaunches {
  bool next = false;
  bool later = false;
};
inline thread_local EarlyLaunches early_launches;

/// Whether the selected device and the code that it runs can do so: compute capability 9.0.
bool early_launches_work();

using ops::Grid;
using ops::Matrix;
using ops::Segment;

/// Consecutive rows of one segment, worked on by one thread block.
struct Tile {
  std::int32_t segment = 0;
  std::int32_t rows = 0;   ///< 0: nothing to do
  std::int64_t begin = 0;  ///< first row, counted from the start of the segment
};

/// A layer norm's numbers; no weight: rows stay as they are.
struct RowNorm {
  const float* weight = nullptr;
  const float* bias = nullptr;
  float epsilon = 1e-5F;
};

/// One map of Swin windows; `first_window` counts the windows of the maps before it.
struct WindowMap {
  std::int64_t begin = 0;
  std::int32_t height = 0;
  std::int32_t width = 0;
  std::int32_t windows_across = 0;
  std::int32_t first_window = 0;
};

/// Says which CUDA error (cudaError_t as int) a launch of `kernel` met. The host side throws its
/// Error; defined by whoever links the kernels.
[[noreturn]] void throw_launch_error(int error, const char* kernel);

}  // namespace itemcrop::cuda::kernels
