// Layer norm (with residual, or of gathered 2 x 2 neighbours) and group norm: memory-bound.
#include "backend/cuda/kernels/device.cuh"
#include "backend/cuda/kernels/norm.h"
#include "backend/cuda/kernels/rows.h"

namespace itemcrop::cuda::kernels {
namespace {

constexpr int kThreads = 256;

/// Normalises one row held by `G` lanes, `V` vectors each: the row is read once. Every lane of the
/// warp must come, with `active` false where its group has no row.
/// load(col, values) gives 8 columns, zeros past the last; store(col, values) takes them.
template <int G, int V, class Load, class Store>
__device__ void normalise(bool active, int cols, const float* weight, const float* bias,
                          float epsilon, const Load& load, const Store& store) {
  const int lane = static_cast<int>(threadIdx.x) % G;
  float values[V][kVector];
  float sum = 0;
#pragma unroll
  for (int v = 0; v < V; ++v) {
    const int col = (v * G + lane) * kVector;
#pragma unroll
    for (int i = 0; i < kVector; ++i) values[v][i] = 0;
    if (active && col < cols) load(col, values[v]);
#pragma unroll
    for (int i = 0; i < kVector; ++i) sum += values[v][i];
  }
  const float mean = group_sum<G>(sum) / static_cast<float>(cols);
  float squares = 0;
#pragma unroll
  for (int v = 0; v < V; ++v) {
    const int col = (v * G + lane) * kVector;
#pragma unroll
    for (int i = 0; i < kVector; ++i) {
      values[v][i] -= mean;
      if (col + i < cols) squares += values[v][i] * values[v][i];
    }
  }
  const float variance = group_sum<G>(squares) / static_cast<float>(cols);
  const float scale = 1.0F / sqrtf(variance + epsilon);
#pragma unroll
  for (int v = 0; v < V; ++v) {
    const int col = (v * G + lane) * kVector;
    if (!active || col >= cols) continue;
    float w[kVector];
    float b[kVector];
    load_table(weight, col, cols, w);
    load_table(bias, col, cols, b);
#pragma unroll
    for (int i = 0; i < kVector; ++i) values[v][i] = values[v][i] * scale * w[i] + b[i];
    store(col, values[v]);
  }
}

struct LayerNormArgs {
  View x, residual, sum, y;
  std::int64_t rows;
  const float* weight;
  const float* bias;
  float epsilon;
};

/// Bytes: x, residual and y once. 8 operations a value.
template <int G, int V>
__global__ void __launch_bounds__(kThreads) layer_norm_kernel(LayerNormArgs args) {
  await_predecessor();
  const std::int64_t row = static_cast<std::int64_t>(blockIdx.x) * (kThreads / G) + threadIdx.x / G;
  normalise<G, V>(
      row < args.rows, args.x.cols, args.weight, args.bias, args.epsilon,
      [&](int col, float(&values)[kVector]) {
        load_vector(args.x, row, col, values);
        if (args.residual.data == nullptr) return;
        float more[kVector];
        load_vector(args.residual, row, col, more);
#pragma unroll
        for (int i = 0; i < kVector; ++i) values[i] += more[i];
        if (args.sum.data != nullptr) store_vector(args.sum, row, col, values);
      },
      [&](int col, const float(&values)[kVector]) { store_vector(args.y, row, col, values); });
}

template <class T>
struct PackedNormArgs {
  const T* x;
  const T* residual;  ///< or null
  T* y;
  std::int64_t x_stride, residual_stride, y_stride;
  std::int64_t rows;
  const float* weight;
  const float* bias;
  float epsilon;
  std::int32_t cols;
};

/// The same for rows of one type in whole vectors. `R` rows a group of lanes: all are on their way
/// before the first is summed, and weights are loaded once.
template <class T, int G, int V, int R>
__global__ void __launch_bounds__(kThreads) packed_norm_kernel(PackedNormArgs<T> args) {
  await_predecessor();
  constexpr int kGroups = kThreads / G;
  const int lane = static_cast<int>(threadIdx.x) % G;
  const std::int64_t first =
      static_cast<std::int64_t>(blockIdx.x) * (kGroups * R) + threadIdx.x / G;
  uint4 packed[R][V];
  uint4 more[R][V];
#pragma unroll
  for (int r = 0; r < R; ++r) {
    const std::int64_t row = first + r * kGroups;
#pragma unroll
    for (int v = 0; v < V; ++v) {
      const int col = (v * G + lane) * kVector;
      packed[r][v] = more[r][v] = {};
      if (row >= args.rows || col >= args.cols) continue;
      packed[r][v] = *reinterpret_cast<const uint4*>(args.x + row * args.x_stride + col);
      if (args.residual == nullptr) continue;
      more[r][v] =
          *reinterpret_cast<const uint4*>(args.residual + row * args.residual_stride + col);
    }
  }
  float weight[V][kVector];
  float bias[V][kVector];
#pragma unroll
  for (int v = 0; v < V; ++v) {
    const int col = (v * G + lane) * kVector;
    load_table(args.weight, col, args.cols, weight[v]);
    load_table(args.bias, col, args.cols, bias[v]);
  }
  const auto cols = static_cast<float>(args.cols);
#pragma unroll
  for (int r = 0; r < R; ++r) {
    const std::int64_t row = first + r * kGroups;
    float values[V][kVector];
    float sum = 0;
#pragma unroll
    for (int v = 0; v < V; ++v) {
      float addends[kVector];
      unpack<T>(packed[r][v], values[v]);
      unpack<T>(more[r][v], addends);
#pragma unroll
      for (int i = 0; i < kVector; ++i) {
        values[v][i] += addends[i];
        sum += values[v][i];
      }
    }
    const float mean = group_sum<G>(sum) / cols;
    float squares = 0;
#pragma unroll
    for (int v = 0; v < V; ++v) {
      const bool inside = (v * G + lane) * kVector < args.cols;
#pragma unroll
      for (int i = 0; i < kVector; ++i) {
        values[v][i] -= mean;
        if (inside) squares += values[v][i] * values[v][i];
      }
    }
    const float scale = 1.0F / sqrtf(group_sum<G>(squares) / cols + args.epsilon);
#pragma unroll
    for (int v = 0; v < V; ++v) {
      const int col = (v * G + lane) * kVector;
#pragma unroll
      for (int i = 0; i < kVector; ++i) {
        values[v][i] = values[v][i] * scale * weight[v][i] + bias[v][i];
      }
      if (row < args.rows && col < args.cols) {
        store_packed(values[v], args.y + row * args.y_stride + col);
      }
    }
  }
}

struct PatchMergeArgs {
  View x, y;
  const Grid* from;
  const Grid* to;
  const Tile* tiles;
  const float* weight;
  const float* bias;
  float epsilon;
};

/// Bytes: x and y (as large) once. 8 operations a value.
template <int G, int V>
__global__ void __launch_bounds__(kThreads) patch_merge_kernel(PatchMergeArgs args) {
  await_predecessor();
  const Tile tile = args.tiles[blockIdx.x];
  const Grid from = args.from[tile.segment];
  const Grid to = args.to[tile.segment];
  const int channels = args.x.cols;
  for (int first = 0; first < tile.rows; first += kThreads / G) {
    const int r = first + static_cast<int>(threadIdx.x) / G;
    const std::int64_t cell = tile.begin + r;
    const int top = static_cast<int>(cell / to.width) * 2;
    const int left = static_cast<int>(cell % to.width) * 2;
    // Part i is neighbour (i % 2, i / 2) as (row, column).
    const auto row_of = [&](int part) -> std::int64_t {
      const int y = top + part % 2;
      const int x = left + part / 2;
      if (y >= from.height || x >= from.width) return -1;
      return from.begin + static_cast<std::int64_t>(y) * from.width + x;
    };
    normalise<G, V>(
        r < tile.rows, 4 * channels, args.weight, args.bias, args.epsilon,
        [&](int col, float(&values)[kVector]) {
          if (channels % kVector == 0) {
            const int part = col / channels;
            const std::int64_t row = row_of(part);
            if (row >= 0) load_vector(args.x, row, col - part * channels, values);
            return;
          }
          for (int i = 0; i < kVector && col + i < 4 * channels; ++i) {
            const int part = (col + i) / channels;
            const std::int64_t row = row_of(part);
            if (row >= 0) values[i] = load_value(args.x, row, col + i - part * channels);
          }
        },
        [&](int col, const float(&values)[kVector]) {
          store_vector(args.y, to.begin + cell, col, values);
        });
  }
}

/// body(G, V) as constants, for rows of `cols` values.
template <class Body>
void with_row_shape(std::int64_t cols, const char* name, const Body& body) {
  const auto shape = [&]<int G, int V>() {
    body(std::integral_constant<int, G>(), std::integral_constant<int, V>());
  };
  if (cols <= 64) return shape.template operator()<8, 1>();
  if (cols <= 128) return shape.template operator()<16, 1>();
  if (cols <= 256) return shape.template operator()<32, 1>();
  if (cols <= 512) return shape.template operator()<32, 2>();
  if (cols <= 1024) return shape.template operator()<32, 4>();
  if (cols <= 2048) return shape.template operator()<32, 8>();
  if (cols <= 4096) return shape.template operator()<32, 16>();
  constexpr int kInvalidValue = 1;  // cudaErrorInvalidValue
  throw_launch_error(kInvalidValue, name);
}

}  // namespace

namespace {

/// Whether packed_norm_kernel was launched: 16-bit rows of one type that lie in whole vectors. With
/// many rows a group of lanes takes a few; the sums of a row are the same.
bool launch_packed_norm(Stream stream, const LayerNormParams& params) {
  constexpr std::int64_t kManyRows = 4096;
  constexpr std::int64_t kMaxColumns = 512;
  const auto lies_well = [&](const Matrix& m) {
    return m.data == nullptr || (m.dtype == params.y.dtype && view_of(m).wide);
  };
  if (params.y.dtype == DType::kF32 || params.sum.data != nullptr || params.y.cols % kVector != 0 ||
      params.y.cols > kMaxColumns || !lies_well(params.x) || !lies_well(params.residual) ||
      !lies_well(params.y)) {
    return false;
  }
  const auto run = [&]<class T, int G, int V, int R>() {
    const PackedNormArgs<T> args{static_cast<const T*>(params.x.data),
                                 static_cast<const T*>(params.residual.data),
                                 static_cast<T*>(params.y.data),
                                 params.x.stride,
                                 params.residual.stride,
                                 params.y.stride,
                                 params.y.rows,
                                 params.weight,
                                 params.bias,
                                 params.epsilon,
                                 static_cast<std::int32_t>(params.y.cols)};
    const auto blocks = static_cast<unsigned>(ceil_div(args.rows, kThreads / G * R));
    launch("layer_norm", packed_norm_kernel<T, G, V, R>, dim3{blocks, 1, 1}, dim3{kThreads, 1, 1},
           0, stream, args);
  };
  const bool many = params.y.rows >= kManyRows;
  const auto run_shape = [&]<class T, int G, int V>() {
    if (many) return run.template operator()<T, G, V, 4 / V>();
    run.template operator()<T, G, V, 1>();
  };
  const auto run_type = [&]<class T>() {
    if (params.y.cols <= 128) return run_shape.template operator()<T, 16, 1>();
    if (params.y.cols <= 256) return run_shape.template operator()<T, 32, 1>();
    run_shape.template operator()<T, 32, 2>();
  };
  if (params.y.dtype == DType::kF16) {
    run_type.template operator()<Half>();
  } else {
    run_type.template operator()<BFloat16>();
  }
  return true;
}

}  // namespace

void launch_layer_norm(Stream stream, const LayerNormParams& params) {
  if (params.y.rows == 0 || launch_packed_norm(stream, params)) return;
  const LayerNormArgs args{view_of(params.x),   view_of(params.residual),
                           view_of(params.sum), view_of(params.y),
                           params.y.rows,       params.weight,
                           params.bias,         params.epsilon};
  with_row_shape(params.x.cols, "layer_norm", [&](auto g, auto v) {
    constexpr int kGroup = decltype(g)::value;
    const auto blocks = static_cast<unsigned>(ceil_div(args.rows, kThreads / kGroup));
    launch("layer_norm", layer_norm_kernel<kGroup, decltype(v)::value>, dim3{blocks, 1, 1},
           dim3{kThreads, 1, 1}, 0, stream, args);
  });
}

void launch_patch_merge(Stream stream, const PatchMergeParams& params) {
  if (params.tile_count == 0) return;
  const PatchMergeArgs args{view_of(params.x), view_of(params.y), params.from, params.to,
                            params.tiles,      params.weight,     params.bias, params.epsilon};
  with_row_shape(4 * params.x.cols, "patch_merge", [&](auto g, auto v) {
    launch("patch_merge", patch_merge_kernel<decltype(g)::value, decltype(v)::value>,
           dim3{static_cast<unsigned>(params.tile_count), 1, 1}, dim3{kThreads, 1, 1}, 0, stream,
           args);
  });
}

// --- group norm ------------------------------------------------------------------------------
//
// A tile's mean and centred squares by group, then a segment's from its tiles in order, then the
// values: three launches, x read three times (the second time from the cache), y written once.

namespace {

struct GroupNormArgs {
  View x, y;
  const GroupNormSegment* segments;
  const Tile* tiles;
  int groups;
  const float* weight;
  const float* bias;
  float epsilon;
  float* tile_sums;     ///< [tiles, groups, 2]: mean, centred squares
  float* segment_sums;  ///< [segments, groups, 2]: mean, scale
};

/// A thread sums 8 columns over every few rows; then one thread a group adds what belongs to it, in
/// order. Twice: for the mean, then for the centred squares.
__global__ void __launch_bounds__(kThreads) group_sums_kernel(GroupNormArgs args) {
  await_predecessor();
  const Tile tile = args.tiles[blockIdx.x];
  if (tile.rows == 0) return;
  const std::int64_t first = args.segments[tile.segment].from + tile.begin;
  const int cols = args.x.cols;
  const int width = cols / args.groups;
  const int vectors = (cols + kVector - 1) / kVector;
  const auto thread = static_cast<int>(threadIdx.x);
  // Rows that the block reads at a time; more columns than threads are taken in turns.
  const int rows_at_once = kThreads > vectors ? kThreads / vectors : 1;
  auto* const partial = reinterpret_cast<float*>(dynamic_shared());  // [rows_at_once, cols]
  float* const means = partial + rows_at_once * cols;                // [groups]
  const auto count = static_cast<float>(tile.rows * width);

  for (int pass = 0; pass < 2; ++pass) {
    for (int i = thread; i < rows_at_once * vectors; i += kThreads) {
      const int slot = i / vectors;
      const int col = i % vectors * kVector;
      float sums[kVector] = {};
      for (int r = slot; r < tile.rows; r += rows_at_once) {
        float values[kVector];
        load_vector(args.x, first + r, col, values);
#pragma unroll
        for (int j = 0; j < kVector; ++j) {
          if (pass == 0) {
            sums[j] += values[j];
          } else {
            const float centred = values[j] - means[min((col + j) / width, args.groups - 1)];
            sums[j] += centred * centred;
          }
        }
      }
      for (int j = 0; j < kVector && col + j < cols; ++j) partial[slot * cols + col + j] = sums[j];
    }
    __syncthreads();
    for (int group = thread; group < args.groups; group += kThreads) {
      float sum = 0;
      for (int slot = 0; slot < rows_at_once; ++slot) {
        for (int c = group * width; c < (group + 1) * width; ++c) sum += partial[slot * cols + c];
      }
      float* sums =
          args.tile_sums + (static_cast<std::int64_t>(blockIdx.x) * args.groups + group) * 2;
      if (pass == 0) {
        means[group] = sum / count;
        sums[0] = sum / count;
      } else {
        sums[1] = sum;
      }
    }
    __syncthreads();
  }
}

/// What some values have in common; merged as by Chan, Golub and LeVeque.
struct Moments {
  float count = 0;
  float mean = 0;
  float squares = 0;

  __device__ void merge(const Moments& more) {
    if (more.count == 0) return;
    const float total = count + more.count;
    const float delta = more.mean - mean;
    mean += delta * (more.count / total);
    squares += more.squares + delta * delta * (count * (more.count / total));
    count = total;
  }
};

/// One warp a group of a segment: a lane takes every 32nd tile, then lanes merge in pairs.
__global__ void __launch_bounds__(kWarp) group_merge_kernel(GroupNormArgs args) {
  await_predecessor();
  const GroupNormSegment segment = args.segments[blockIdx.x];
  const auto group = static_cast<int>(blockIdx.y);
  const int width = args.x.cols / args.groups;
  Moments moments;
  for (int t = static_cast<int>(threadIdx.x); t < segment.tiles; t += static_cast<int>(kWarp)) {
    const std::int64_t tile = segment.first_tile + t;
    const float* sums = args.tile_sums + (tile * args.groups + group) * 2;
    moments.merge({static_cast<float>(args.tiles[tile].rows * width), sums[0], sums[1]});
  }
#pragma unroll
  for (int lanes = static_cast<int>(kWarp) / 2; lanes > 0; lanes /= 2) {
    const Moments other{__shfl_xor_sync(kAllLanes, moments.count, lanes),
                        __shfl_xor_sync(kAllLanes, moments.mean, lanes),
                        __shfl_xor_sync(kAllLanes, moments.squares, lanes)};
    moments.merge(other);
  }
  if (threadIdx.x != 0) return;
  float* sums =
      args.segment_sums + (static_cast<std::int64_t>(blockIdx.x) * args.groups + group) * 2;
  sums[0] = moments.mean;
  sums[1] = moments.count > 0 ? 1.0F / sqrtf(moments.squares / moments.count + args.epsilon) : 0.0F;
}

__global__ void __launch_bounds__(kThreads) group_apply_kernel(GroupNormArgs args) {
  await_predecessor();
  const Tile tile = args.tiles[blockIdx.x];
  if (tile.rows == 0) return;
  const GroupNormSegment segment = args.segments[tile.segment];
  const int width = args.x.cols / args.groups;
  const int vectors = (args.x.cols + kVector - 1) / kVector;
  const float* sums = args.segment_sums + static_cast<std::int64_t>(tile.segment) * args.groups * 2;
  for (int i = static_cast<int>(threadIdx.x); i < tile.rows * vectors; i += kThreads) {
    const std::int64_t row = tile.begin + i / vectors;
    const int col = i % vectors * kVector;
    float values[kVector];
    float w[kVector];
    float b[kVector];
    load_vector(args.x, segment.from + row, col, values);
    load_table(args.weight, col, args.x.cols, w);
    load_table(args.bias, col, args.x.cols, b);
#pragma unroll
    for (int j = 0; j < kVector; ++j) {
      const int group = min((col + j) / width, args.groups - 1);
      values[j] = (values[j] - sums[2 * group]) * sums[2 * group + 1] * w[j] + b[j];
    }
    store_vector(args.y, segment.to + row, col, values);
  }
}

}  // namespace

void launch_group_norm(Stream stream, const GroupNormParams& params) {
  if (params.tile_count == 0) return;
  const std::int64_t tile_values = static_cast<std::int64_t>(params.tile_count) * params.groups * 2;
  const GroupNormArgs args{view_of(params.x), view_of(params.y),
                           params.segments,   params.tiles,
                           params.groups,     params.weight,
                           params.bias,       params.epsilon,
                           params.workspace,  params.workspace + tile_values};
  const dim3 tiles{static_cast<unsigned>(params.tile_count), 1, 1};
  const dim3 block{kThreads, 1, 1};
  const std::int64_t vectors = ceil_div(params.x.cols, kVector);
  const std::int64_t rows_at_once = kThreads > vectors ? kThreads / vectors : 1;
  const auto shared =
      static_cast<std::size_t>(rows_at_once * params.x.cols + params.groups) * sizeof(float);
  launch("group_norm sums", group_sums_kernel, tiles, block, shared, stream, args);
  launch("group_norm merge", group_merge_kernel,
         dim3{static_cast<unsigned>(params.segment_count), static_cast<unsigned>(params.groups), 1},
         dim3{kWarp, 1, 1}, 0, stream, args);
  launch("group_norm apply", group_apply_kernel, tiles, block, 0, stream, args);
}

}  // namespace itemcrop::cuda::kernels
