// Sine positions, boxes and proposals: small, bound by memory or by launches.
#include "backend/cuda/kernels/device.cuh"
#include "backend/cuda/kernels/positions.h"

namespace itemcrop::cuda::kernels {
namespace {

constexpr int kThreads = 256;
constexpr float kTwoPi = 6.28318530717958648F;

/// temperature^(2 floor(k / 2) / features), as exact as the host's.
__device__ inline float period_of(int k, int features, float temperature) {
  return powf(temperature, 2.0F * static_cast<float>(k / 2) / static_cast<float>(features));
}

/// sin (k even) or cos (k odd) of angle / period.
__device__ inline float embed_angle(float angle, int k, float period) {
  const float phase = angle / period;
  return k % 2 == 0 ? sinf(phase) : cosf(phase);
}

__device__ inline int bytes_of(DType dtype) { return dtype == DType::kF32 ? 4 : 2; }

__device__ inline float sigmoid(float x) { return 1.0F / (1.0F + expf(-x)); }
__device__ inline float logit(float p) { return logf(p / (1.0F - p)); }

/// The box that a cell proposes, and whether it is within (0.01, 0.99).
struct Proposal {
  float x, y, edge;

  __device__ bool valid() const { return within(x) && within(y) && within(edge); }
  __device__ static bool within(float value) { return value > 0.01F && value < 0.99F; }
};

__device__ inline Proposal proposal_of(const Grid& level, int level_index, std::int64_t cell) {
  return {(static_cast<float>(cell % level.width) + 0.5F) / static_cast<float>(level.width),
          (static_cast<float>(cell / level.width) + 0.5F) / static_cast<float>(level.height),
          ldexpf(0.05F, level_index)};
}

/// A square of cells a block: its rows' and columns' sines are made once, in shared memory, and a
/// cell's values put together from them. Bytes: y.
__global__ void __launch_bounds__(kThreads)
    sine_positions_kernel(SinePositionsParams args, View y) {
  constexpr float kEpsilon = 1e-6F;
  constexpr int kEdge = kDeformableTileEdge;
  const DeformableTile tile = args.tiles[blockIdx.x];
  if (tile.width == 0) return;
  const Grid level =
      args.levels[static_cast<std::int64_t>(tile.sample) * args.level_count + tile.level];
  const int half = y.cols / 2;
  auto* const down = reinterpret_cast<float*>(dynamic_shared());  // [kEdge, half]
  float* const across = down + kEdge * half;                      // [kEdge, half]
  for (int i = static_cast<int>(threadIdx.x); i < 2 * kEdge * half; i += kThreads) {
    const int k = i % half;
    const int place = i / half;
    const bool vertical = place < kEdge;
    const auto cell =
        static_cast<float>(vertical ? tile.y + place + 1 : tile.x + place - kEdge + 1);
    const auto extent = static_cast<float>(vertical ? level.height : level.width);
    down[i] =
        embed_angle(cell / (extent + kEpsilon) * kTwoPi, k, period_of(k, half, args.temperature));
  }
  __syncthreads();
  const float* embedding = args.level_embedding + static_cast<std::int64_t>(tile.level) * y.cols;
  const int vectors = (y.cols + kVector - 1) / kVector;
  const int cells = tile.width * tile.height;
  for (int i = static_cast<int>(threadIdx.x); i < cells * vectors; i += kThreads) {
    const int cell = i / vectors;
    const int col = i % vectors * kVector;
    const int cell_y = cell / tile.width;
    const int cell_x = cell % tile.width;
    float values[kVector];
    load_table(embedding, col, y.cols, values);
#pragma unroll
    for (int j = 0; j < kVector; ++j) {
      const int c = col + j;
      if (c < y.cols) {
        values[j] += c < half ? down[cell_y * half + c] : across[cell_x * half + c - half];
      }
    }
    const std::int64_t row =
        tile.begin + static_cast<std::int64_t>(tile.y + cell_y) * level.width + tile.x + cell_x;
    store_vector(y, row, col, values);
  }
}

constexpr int kBoxRows = 8;

/// A thread keeps to 8 columns of one of the box's four numbers, so their periods are computed once
/// for the block's rows. Bytes: y.
__global__ void __launch_bounds__(kThreads)
    box_positions_kernel(View boxes, int features, View y, std::int64_t rows) {
  constexpr float kTemperature = 10000.0F;
  const std::int64_t first = static_cast<std::int64_t>(blockIdx.x) * kBoxRows;
  const int vectors = (features + kVector - 1) / kVector;  // of one number
  const auto thread = static_cast<int>(threadIdx.x);
  const int at_once = kThreads > 4 * vectors ? kThreads / (4 * vectors) : 1;
  for (int i = thread; i < 4 * vectors * at_once; i += kThreads) {
    const int part = i % (4 * vectors) / vectors;
    const int k = i % vectors * kVector;
    const int order = part == 0 ? 1 : part == 1 ? 0 : part;  // cy, cx, w, h
    View columns = y;  // those of this number, so that a vector ends with them
    columns.cols = features;
    columns.data = static_cast<unsigned char*>(y.data) +
                   static_cast<std::int64_t>(part) * features * bytes_of(y.dtype);
    columns.wide = y.wide && features * bytes_of(y.dtype) % 16 == 0;
    float periods[kVector];
#pragma unroll
    for (int j = 0; j < kVector; ++j) periods[j] = period_of(k + j, features, kTemperature);
    for (int r = i / (4 * vectors); r < kBoxRows && first + r < rows; r += at_once) {
      const float angle =
          static_cast<const float*>(boxes.data)[(first + r) * boxes.stride + order] * kTwoPi;
      float values[kVector];
#pragma unroll
      for (int j = 0; j < kVector; ++j) values[j] = embed_angle(angle, k + j, periods[j]);
      store_vector(columns, first + r, k, values);
    }
  }
}

/// One thread a coordinate.
__global__ void __launch_bounds__(kThreads)
    refine_boxes_kernel(View delta, View boxes, View y, std::int64_t rows) {
  constexpr float kEpsilon = 1e-5F;
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  const std::int64_t row = i / 4;
  if (row >= rows) return;
  const int col = static_cast<int>(i % 4);
  const float box = static_cast<const float*>(boxes.data)[row * boxes.stride + col];
  const float clamped = fminf(fmaxf(box, kEpsilon), 1.0F - kEpsilon);
  static_cast<float*>(y.data)[row * y.stride + col] =
      sigmoid(load_value(delta, row, col) + logit(clamped));
}

/// Bytes: x, y.
__global__ void __launch_bounds__(kThreads)
    mask_proposals_kernel(MaskProposalsParams args, View x, View y) {
  const Tile tile = args.tiles[blockIdx.x];
  if (tile.rows == 0) return;
  const Grid level = args.levels[tile.segment];
  const int vectors = (y.cols + kVector - 1) / kVector;
  for (int i = static_cast<int>(threadIdx.x); i < tile.rows * vectors; i += kThreads) {
    const std::int64_t cell = tile.begin + i / vectors;
    const int col = i % vectors * kVector;
    float values[kVector] = {};
    if (proposal_of(level, tile.segment % args.level_count, cell).valid()) {
      load_vector(x, level.begin + cell, col, values);
    }
    store_vector(y, level.begin + cell, col, values);
  }
}

/// One thread a box.
__global__ void __launch_bounds__(kThreads)
    proposal_boxes_kernel(ProposalBoxesParams args, View delta) {
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= args.y.rows) return;
  const std::int64_t row = static_cast<const std::int32_t*>(args.rows.data)[i * args.rows.stride];
  Proposal proposal{0, 0, 0};
  for (int g = 0; g < args.grid_count; ++g) {
    const Grid level = args.levels[g];
    const std::int64_t cell = row - level.begin;
    if (cell >= 0 && cell < static_cast<std::int64_t>(level.height) * level.width) {
      proposal = proposal_of(level, g % args.level_count, cell);
    }
  }
  float* box = static_cast<float*>(args.y.data) + i * args.y.stride;
  const bool valid = proposal.valid();
  const float values[4] = {proposal.x, proposal.y, proposal.edge, proposal.edge};
#pragma unroll
  for (int c = 0; c < 4; ++c) {
    box[c] = valid ? sigmoid(load_value(delta, i, c) + logit(values[c])) : 1.0F;
  }
}

const dim3 kBlock{kThreads, 1, 1};

dim3 blocks_for(std::int64_t threads) {
  return dim3{static_cast<unsigned>(ceil_div(threads, kThreads)), 1, 1};
}

}  // namespace

void launch_sine_positions(Stream stream, const SinePositionsParams& params) {
  if (params.tile_count == 0) return;
  launch("sine_positions", sine_positions_kernel,
         dim3{static_cast<unsigned>(params.tile_count), 1, 1}, kBlock,
         static_cast<std::size_t>(kDeformableTileEdge * params.y.cols) * sizeof(float), stream,
         params, view_of(params.y));
}

void launch_box_positions(Stream stream, const BoxPositionsParams& params) {
  if (params.boxes.rows == 0) return;
  launch("box_positions", box_positions_kernel,
         dim3{static_cast<unsigned>(ceil_div(params.boxes.rows, kBoxRows)), 1, 1}, kBlock, 0,
         stream, view_of(params.boxes), params.features, view_of(params.y), params.boxes.rows);
}

void launch_refine_boxes(Stream stream, const RefineBoxesParams& params) {
  if (params.y.rows == 0) return;
  launch("refine_boxes", refine_boxes_kernel, blocks_for(params.y.rows * 4), kBlock, 0, stream,
         view_of(params.delta), view_of(params.boxes), view_of(params.y), params.y.rows);
}

void launch_mask_proposals(Stream stream, const MaskProposalsParams& params) {
  if (params.tile_count == 0) return;
  launch("mask_proposals", mask_proposals_kernel,
         dim3{static_cast<unsigned>(params.tile_count), 1, 1}, kBlock, 0, stream, params,
         view_of(params.x), view_of(params.y));
}

void launch_proposal_boxes(Stream stream, const ProposalBoxesParams& params) {
  if (params.y.rows == 0) return;
  launch("proposal_boxes", proposal_boxes_kernel, blocks_for(params.y.rows), kBlock, 0, stream,
         params, view_of(params.delta));
}

}  // namespace itemcrop::cuda::kernels
