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

/// A warp a row of the table. Bytes: y.
__global__ void __launch_bounds__(kThreads)
    axis_positions_kernel(AxisPositionsParams args, View y, std::int64_t rows) {
  await_predecessor();
  constexpr float kEpsilon = 1e-6F;
  const std::int64_t row = (static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x) / kWarp;
  if (row >= rows) return;
  // Pyramids have few levels: finding one costs less than a list of who is where.
  int g = 0;
  Grid level = args.levels[0];
  std::int64_t place = row;
  while (place >= level.height + level.width) {
    place -= level.height + level.width;
    level = args.levels[++g];
  }
  const bool vertical = place < level.height;
  const auto cell = static_cast<float>(vertical ? place + 1 : place - level.height + 1);
  const auto extent = static_cast<float>(vertical ? level.height : level.width);
  const float angle = cell / (extent + kEpsilon) * kTwoPi;
  const float* embedding =
      args.level_embedding + static_cast<std::int64_t>(g % args.level_count) * y.cols;
  const int half = y.cols / 2;
  const int first = vertical ? 0 : half;
  const int lane = static_cast<int>(threadIdx.x % kWarp);
  for (int col = lane * kVector; col < y.cols; col += static_cast<int>(kWarp) * kVector) {
    float values[kVector];
#pragma unroll
    for (int j = 0; j < kVector; ++j) {
      const int k = col + j - first;
      values[j] = k >= 0 && k < half ? embed_angle(angle, k, period_of(k, half, args.temperature)) +
                                           embedding[col + j]
                                     : 0.0F;
    }
    store_vector(y, row, col, values);
  }
}

constexpr int kBoxRows = 8;

/// A thread keeps to 8 columns of one of the box's four numbers, so their periods are computed once
/// for the block's rows. Bytes: y.
__global__ void __launch_bounds__(kThreads)
    box_positions_kernel(View boxes, int features, View y, std::int64_t rows) {
  await_predecessor();
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
  await_predecessor();
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
  await_predecessor();
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
  await_predecessor();
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

void launch_axis_positions(Stream stream, const AxisPositionsParams& params) {
  if (params.y.rows == 0) return;
  launch("axis_positions", axis_positions_kernel, blocks_for(params.y.rows * kWarp), kBlock, 0,
         stream, params, view_of(params.y), params.y.rows);
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
