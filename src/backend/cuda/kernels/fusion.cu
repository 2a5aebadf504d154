// Folded fusion (docs/design/model.md): both directions of an image's attention with its text.
//
// Samples with short texts pass through one kernel (fusion_short.cu) and the merge, 3. The others:
// 1. Keys and values to the vision's type.
// 2. Context: softmax down the columns of S = X K^T + bias is attention of the folded keys to the
//    rows of X. A block sums 64 columns over a chunk of rows, normalising X as it reads it
//    (fusion_short.cu; here for fp32 and other widths).
// 3. The chunks' sums are merged in order, so the answer has the same bits every time.
// 4. Vision: a block normalises 64 rows, attends to every head's tokens and writes the rows back.
//
// Bytes: vision read twice (once more for every further 64 columns, from the cache) and written
// once. Operations: 4 a row, column and channel for the context, 6 for the vision side (whose two
// halves of channels each need the scores).
#include <algorithm>

#include "backend/cuda/kernels/flash.cuh"
#include "backend/cuda/kernels/fusion.cuh"

namespace itemcrop::cuda::kernels {
namespace {

constexpr int kLanes = static_cast<int>(kWarp);
constexpr int kColumns = static_cast<int>(kFusionColumns);
constexpr int kContextWarps = kColumns / 16 * 2;
constexpr int kContextThreads = kContextWarps * kLanes;
constexpr int kMergeWarps = 8;
constexpr int kMergeThreads = kMergeWarps * kLanes;
constexpr int kMergeChannels = kLanes * 4;  ///< of one block

/// Rows of the vision tile of the last kernel; fp32 has room for fewer.
template <class T>
constexpr int kVisionRows = sizeof(T) == 2 ? 64 : 32;
/// Rows of X or keys in shared memory at a time.
template <class T>
constexpr int kChunk = sizeof(T) == 2 ? 32 : 16;

/// Folded keys (first of the grid's rows) and values to the vision's type.
struct ConvertArgs {
  View from[2];
  View to[2];
  std::int64_t rows;
};

__global__ void convert_kernel(ConvertArgs args) {
  await_predecessor();
  // Chosen, not indexed: a parameter that is indexed moves to local memory.
  const View from = blockIdx.y == 0 ? args.from[0] : args.from[1];
  const View to = blockIdx.y == 0 ? args.to[0] : args.to[1];
  const auto vectors = static_cast<std::uint32_t>((to.cols + kVector - 1) / kVector);
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  const std::int64_t row = i / vectors;
  if (row >= args.rows) return;
  const int col = static_cast<int>(i % vectors) * kVector;
  float values[kVector];
  load_vector(from, row, col, values);
  store_vector(to, row, col, values);
}

template <class T, int Dim>
__device__ inline void start_folded(const T* from, int cols, std::int64_t first, int count,
                                    int rows, T* tile, int threads) {
  const bool wide = cols * static_cast<int>(sizeof(T)) % 16 == 0;
  start_rows<T, Dim>(
      tile, rows, cols, wide, static_cast<int>(threadIdx.x), threads,
      [&](int r) -> const T* { return r < count ? from + (first + r) * cols : nullptr; });
}

/// 8 warps: 16 columns of S each, summed over one half of the channels.
template <class T, int Dim>
__global__ void __launch_bounds__(kContextThreads, sizeof(T) == 2 ? 2 : 1)
    context_kernel(FusionArgs<T> args) {
  await_predecessor();
  constexpr int kStride = tile_stride<T>(Dim);
  constexpr int kRows = kChunk<T>;
  constexpr int kWarps = kContextWarps;
  constexpr int kHalf = Dim / 2;
  const Tile tile = args.tiles[blockIdx.x];
  if (tile.rows == 0) return;
  const FusionSample sample = args.samples[tile.segment];
  const auto columns = static_cast<int>(sample.folded.rows);
  const int first_column = static_cast<int>(blockIdx.y) * kColumns;
  if (first_column >= columns) return;
  const int warp = static_cast<int>(threadIdx.x) / kLanes;
  const int group = warp / 2;
  const int half = warp % 2;
  auto* const keys = reinterpret_cast<T*>(dynamic_shared());
  T* const x = keys + kColumns * kStride;

  const int wanted = columns - first_column < kColumns ? columns - first_column : kColumns;
  start_folded<T, Dim>(args.long_keys, args.vision.cols, sample.folded.begin + first_column, wanted,
                       kColumns, keys, kContextThreads);
  finish_copies();
  float bias[2] = {0, 0};
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    const int column = group * 16 + lane_id() / 4 + 8 * r;
    if (column < wanted) {
      bias[r] = static_cast<const float*>(
          args.key_bias.data)[(sample.folded.begin + first_column + column) * args.key_bias.stride];
    }
  }

  Flash<T, Dim, kHalf, kRows> flash;
  flash.begin();
  for (int first = 0; first < tile.rows; first += kRows) {
    const int count = tile.rows - first < kRows ? tile.rows - first : kRows;
    __syncthreads();
    normalise_to_tile<T, Dim, kRows / kWarps>(
        args.vision.from(sample.vision.begin + tile.begin + first), count, args.norm, x,
        [&](int n) { return n * kWarps + warp; });
    __syncthreads();
    flash.add(keys + group * 16 * kStride, x, x + half * kHalf, kStride,
              [&](int row, int key, float product) {
                return key < count ? product + bias[row / 8] : -INFINITY;
              });
  }
  flash.finish();

  const std::int64_t chunk = tile.begin / sample.chunk_rows;
  const int dim = args.vision.cols;
  const int t = lane_id() % 4;
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    const int column = group * 16 + lane_id() / 4 + 8 * r;
    if (column >= wanted) continue;
    float* to = args.partial(sample, chunk, first_column + column);
    if (half == 0 && t == 0) {
      to[0] = flash.highest[r];
      to[1] = flash.sums[r];
    }
#pragma unroll
    for (int n = 0; n < kHalf / 8; ++n) {
#pragma unroll
      for (int j = 0; j < 2; ++j) {
        const int c = half * kHalf + 8 * n + 2 * t + j;
        if (c < dim) to[kPartialHead + c] = flash.totals[n][2 * r + j];
      }
    }
  }
}

/// 128 channels of one column of one sample a block: a warp sums every eighth chunk, four channels
/// a lane; then the warps' sums. Bytes: the partial sums once.
template <class T>
__global__ void __launch_bounds__(kMergeThreads) merge_kernel(FusionArgs<T> args) {
  await_predecessor();
  __shared__ float weights[kFusionChunks];
  __shared__ float totals[kFusionChunks];
  __shared__ float4 sums[kMergeWarps][kLanes];
  const FusionSample sample = args.samples[blockIdx.y];
  const std::int64_t column = blockIdx.x;
  if (column >= sample.folded.rows) return;
  const auto thread = static_cast<int>(threadIdx.x);
  const int lane = thread % kLanes;
  const int warp = thread / kLanes;
  const int chunks = sample.chunks;
  const std::int64_t step = sample.folded.rows * args.partial_stride();
  const float* const partial = args.partial(sample, 0, column);

  float highest = -INFINITY;
  for (int chunk = lane; chunk < chunks; chunk += kLanes) {
    highest = fmaxf(highest, partial[chunk * step]);
  }
  highest = group_max<32>(highest);
  for (int chunk = thread; chunk < chunks; chunk += kMergeThreads) {
    weights[chunk] = __expf(partial[chunk * step] - highest);
    totals[chunk] = weights[chunk] * partial[chunk * step + 1];
  }
  __syncthreads();

  const int c = static_cast<int>(blockIdx.z) * kMergeChannels + 4 * lane;
  const bool inside = c < args.vision.cols;
  float4 sum{0, 0, 0, 0};
  if (inside) {
#pragma unroll 8
    for (int chunk = warp; chunk < chunks; chunk += kMergeWarps) {
      const auto from = *reinterpret_cast<const float4*>(partial + chunk * step + kPartialHead + c);
      const float weight = weights[chunk];
      sum.x += weight * from.x;
      sum.y += weight * from.y;
      sum.z += weight * from.z;
      sum.w += weight * from.w;
    }
  }
  sums[warp][lane] = sum;
  __syncthreads();
  if (warp != 0) return;
  float total = 0;
  for (int chunk = lane; chunk < chunks; chunk += kLanes) total += totals[chunk];
  total = group_sum<32>(total);
  if (!inside) return;
  const float share = total > 0 ? 1.0F / total : 0.0F;
#pragma unroll
  for (int other = 1; other < kMergeWarps; ++other) {
    const float4 more = sums[other][lane];
    sum.x += more.x;
    sum.y += more.y;
    sum.z += more.z;
    sum.w += more.w;
  }
  const float values[4] = {sum.x * share, sum.y * share, sum.z * share, sum.w * share};
  float* to = static_cast<float*>(args.context.data) +
              (sample.folded.begin + column) * args.context.stride + c;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    if (c + i < args.vision.cols) to[i] = values[i];
  }
}

/// Two warps for every 16 rows, one half of the channels each.
template <class T, int Dim>
__global__ void __launch_bounds__(kVisionRows<T> / 16 * 2 * kLanes)
    vision_kernel(FusionArgs<T> args) {
  await_predecessor();
  constexpr int kStride = tile_stride<T>(Dim);
  constexpr int kRows = kVisionRows<T>;
  constexpr int kWarps = kRows / 16 * 2;
  constexpr int kThreads = kWarps * kLanes;
  constexpr int kKeys = kChunk<T>;
  constexpr int kHalf = Dim / 2;
  const Tile tile = args.tiles[blockIdx.x];
  if (tile.rows == 0) return;
  const FusionSample sample = args.samples[tile.segment];
  const int tokens = static_cast<int>(sample.folded.rows) / args.heads;
  const int warp = static_cast<int>(threadIdx.x) / kLanes;
  const int half = warp % 2;
  const int g = lane_id() / 4;
  const int t = lane_id() % 4;
  auto* const x = reinterpret_cast<T*>(dynamic_shared());
  T* const keys = x + kRows * kStride;
  T* const values = keys + kKeys * kStride;
  T* const rows = x + warp / 2 * 16 * kStride;

  for (int begin = 0; begin < tile.rows; begin += kRows) {
    const std::int64_t first_row = sample.vision.begin + tile.begin + begin;
    const int row_count = tile.rows - begin < kRows ? tile.rows - begin : kRows;
    __syncthreads();
    normalise_to_tile<T, Dim, kRows / kWarps>(args.vision.from(first_row), row_count, args.norm, x,
                                              [&](int n) { return n * kWarps + warp; });

    float totals[kHalf / 8][4];
#pragma unroll
    for (int n = 0; n < kHalf / 8; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) totals[n][i] = 0;
    }
    for (int head = 0; head < args.heads; ++head) {
      const std::int64_t first_token =
          sample.folded.begin + static_cast<std::int64_t>(head) * tokens;
      float highest[2] = {-INFINITY, -INFINITY};
      float sums[2] = {0, 0};
      // Scores of one chunk of tokens; their running maxima and sums.
      float scores[kKeys / 8][4];
      const auto score = [&](int first, int count) {
        multiply_keys<T, Dim, kKeys>(scores, rows, keys, count);
#pragma unroll
        for (int n = 0; n < kKeys / 8; ++n) {
#pragma unroll
          for (int i = 0; i < 4; ++i) {
            const int key = 8 * n + 2 * t + i % 2;
            scores[n][i] =
                key < count ? scores[n][i] + static_cast<const float*>(
                                                 args.key_bias.data)[(first_token + first + key) *
                                                                     args.key_bias.stride]
                            : -INFINITY;
          }
        }
      };
      const auto measure = [&] {
#pragma unroll
        for (int r = 0; r < 2; ++r) {
          float most = highest[r];
#pragma unroll
          for (int n = 0; n < kKeys / 8; ++n) {
            most = fmaxf(most, fmaxf(scores[n][2 * r], scores[n][2 * r + 1]));
          }
          most = group_max<4>(most);
          float sum = 0;
#pragma unroll
          for (int n = 0; n < kKeys / 8; ++n) {
            sum += __expf(scores[n][2 * r] - most) + __expf(scores[n][2 * r + 1] - most);
          }
          sums[r] = sums[r] * __expf(highest[r] - most) + group_sum<4>(sum);
          highest[r] = most;
        }
      };
      const auto attend = [&](int count) {
        const float share[2] = {1.0F / sums[0], 1.0F / sums[1]};
#pragma unroll
        for (int n = 0; n < kKeys / 8; ++n) {
#pragma unroll
          for (int i = 0; i < 4; ++i) {
            scores[n][i] = __expf(scores[n][i] - highest[i / 2]) * share[i / 2];
          }
        }
        multiply_values<T, kHalf, kKeys>(totals, scores, values + half * kHalf, kStride, count);
      };
      const auto copy = [&](const T* from, T* to, int first, int count) {
        start_folded<T, Dim>(from, args.vision.cols, first_token + first, count, kKeys, to,
                             kThreads);
      };

      if (tokens <= kKeys) {
        __syncthreads();
        copy(args.long_keys, keys, 0, tokens);
        copy(args.long_values, values, 0, tokens);
        finish_copies();
        __syncthreads();
        score(0, tokens);
        measure();
        attend(tokens);
        continue;
      }
      // Too many to keep the scores: once for maxima and sums, once more for the sums of values.
      for (int pass = 0; pass < 2; ++pass) {
        for (int first = 0; first < tokens; first += kKeys) {
          const int count = tokens - first < kKeys ? tokens - first : kKeys;
          __syncthreads();
          copy(args.long_keys, keys, first, count);
          if (pass == 1) copy(args.long_values, values, first, count);
          finish_copies();
          __syncthreads();
          score(first, count);
          if (pass == 0) {
            measure();
          } else {
            attend(count);
          }
        }
      }
    }

    // x is the residual; the scores have been computed from it already.
    __syncthreads();
#pragma unroll
    for (int n = 0; n < kHalf / 8; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int c = half * kHalf + 8 * n + 2 * t + i % 2;
        if (c >= args.vision.cols) continue;
        T& at = rows[(g + 8 * (i / 2)) * kStride + c];
        from_float(
            to_float(at) + __ldg(args.gamma + c) * (totals[n][i] + __ldg(args.output_bias + c)),
            at);
      }
    }
    __syncthreads();
    copy_from_tile<T, Dim>(x, kRows, args.vision.cols, args.vision.wide,
                           static_cast<int>(threadIdx.x), kThreads, [&](int r) -> T* {
                             if (r >= row_count) return nullptr;
                             return args.vision.data + (first_row + r) * args.vision.stride;
                           });
  }
}

/// Keys and values to T, then the context of samples with long texts.
template <class T, int Dim>
void sum_context(Stream stream, const FusionParams& params, FusionArgs<T> args) {
  const std::int64_t dim = params.vision.cols;
  const std::int64_t folded = params.keys.rows;
  const auto target = [&](const T* to) {
    return view_of(Matrix{const_cast<T*>(to), params.vision.dtype, folded, dim, dim});
  };
  constexpr unsigned kThreads = 256;
  const auto blocks = static_cast<unsigned>(ceil_div(folded * ceil_div(dim, kVector), kThreads));
  launch("fusion convert", convert_kernel, dim3{blocks, 2, 1}, dim3{kThreads, 1, 1}, 0, stream,
         ConvertArgs{
             {args.keys, args.values}, {target(args.long_keys), target(args.long_values)}, folded});
  args.tiles = params.context_tiles;
  args.tile_count = params.context_tile_count;
  if constexpr (sizeof(T) == 2) {
    if (fusion_width_fits(dim, params.vision.dtype)) {
      return launch_chunk_context(stream, args, params.max_columns);
    }
  }
  constexpr std::size_t kRowBytes = tile_stride<T>(Dim) * sizeof(T);
  launch("fusion context", context_kernel<T, Dim>,
         dim3{static_cast<unsigned>(params.context_tile_count),
              static_cast<unsigned>(ceil_div(params.max_columns, kColumns)), 1},
         dim3{kContextThreads, 1, 1}, (kColumns + kChunk<T>)*kRowBytes, stream, args);
}

template <class T, int Dim>
void run(Stream stream, const FusionParams& params, FusionArgs<T> args) {
  if (params.short_tile_count > 0) {
    if constexpr (sizeof(T) == 2) {
      args.tiles = params.short_tiles;
      args.tile_count = params.short_tile_count;
      launch_short_fusion(stream, args);
    } else {
      constexpr int kInvalidValue = 1;  // cudaErrorInvalidValue
      throw_launch_error(kInvalidValue, "fusion short");
    }
  }
  const bool hopper = params.hopper.padded_rows > 0;
  if constexpr (sizeof(T) == 2) {
    if (hopper) launch_hopper_context(stream, params, args);
  }
  if (params.context_tile_count > 0) sum_context<T, Dim>(stream, params, args);
  if (params.vision_tile_count == 0) return;
  if constexpr (sizeof(T) == 2) {
    if (hopper) return launch_hopper_vision(stream, params, args);
  }
  constexpr std::size_t kRowBytes = tile_stride<T>(Dim) * sizeof(T);
  args.tiles = params.vision_tiles;
  launch("fusion vision", vision_kernel<T, Dim>,
         dim3{static_cast<unsigned>(params.vision_tile_count), 1, 1},
         dim3{kVisionRows<T> / 16 * 2 * kWarp, 1, 1}, (kVisionRows<T> + 2 * kChunk<T>)*kRowBytes,
         stream, args);
}

template <class T>
FusionArgs<T> arguments_of(const FusionParams& params) {
  const std::int64_t dim = params.vision.cols;
  // Room for fp32 whatever T is: see plan_fusion().
  const std::int64_t rows = std::max(params.hopper.padded_rows, params.keys.rows);
  const std::int64_t room = (rows * dim + 3) / 4 * 4;
  auto* const workspace = static_cast<float*>(params.workspace);
  return {block_of<T>(params.vision, dim),
          view_of(params.keys),
          view_of(params.key_bias),
          view_of(params.values),
          view_of(params.context),
          reinterpret_cast<const T*>(workspace),
          reinterpret_cast<const T*>(workspace + room),
          params.samples,
          nullptr,
          0,
          params.heads,
          params.norm,
          params.output_bias,
          params.gamma,
          params.partials,
          params.multiprocessors};
}

}  // namespace

void launch_fusion_merge(Stream stream, const FusionParams& params) {
  if (params.vision.rows == 0 || params.max_columns == 0) return;
  dispatch_float(params.vision.dtype, [&](auto tag) {
    using T = decltype(tag);
    launch(
        "fusion merge", merge_kernel<T>,
        dim3{static_cast<unsigned>(params.max_columns), static_cast<unsigned>(params.sample_count),
             static_cast<unsigned>(ceil_div(params.vision.cols, kMergeChannels))},
        dim3{kMergeThreads, 1, 1}, 0, stream, arguments_of<T>(params));
  });
}

void launch_folded_fusion(Stream stream, const FusionParams& params) {
  if (params.vision.rows == 0 || params.max_columns == 0) return;
  dispatch_float(params.vision.dtype, [&](auto tag) {
    using T = decltype(tag);
    const std::int64_t dim = params.vision.cols;
    const FusionArgs<T> args = arguments_of<T>(params);
    if (dim <= 64) return run<T, 64>(stream, params, args);
    if (dim <= 128) return run<T, 128>(stream, params, args);
    if (dim <= 192) return run<T, 192>(stream, params, args);
    if (dim <= 256) return run<T, 256>(stream, params, args);
    constexpr int kInvalidValue = 1;  // cudaErrorInvalidValue
    throw_launch_error(kInvalidValue, "fusion");
  });
}

}  // namespace itemcrop::cuda::kernels
