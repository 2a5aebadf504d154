// Attention of ragged segments: text (with blocks) and the decoder's queries.
#include "backend/cuda/kernels/attention.h"
#include "backend/cuda/kernels/device.cuh"
#include "backend/cuda/kernels/flash.cuh"

namespace itemcrop::cuda::kernels {
namespace {

constexpr int kRows = static_cast<int>(kAttentionTileRows);
constexpr int kRowWarps = kRows / 16;

template <class T>
struct AttentionArgs {
  Block<T> query, key, value, y;  // cols: of one head
  const Segment* query_segments;
  const Segment* key_segments;
  const Tile* tiles;
  const std::int32_t* blocks;
  float scale;
};

/// Warps that share 16 query rows, each with a chunk of keys of its own: a few hundred queries
/// alone would leave a GPU almost without warps.
template <class T, int Dim>
constexpr int kSplits = sizeof(T) == 2 && Dim <= 64 ? 4 : 1;

template <class T, int Dim>
constexpr int kThreads = kRowWarps* kSplits<T, Dim>* static_cast<int>(kWarp);

/// Keys of a warp's chunk. More would take a block's registers from a second block.
template <class T, int Dim>
constexpr int kChunk = Dim* static_cast<int>(sizeof(T)) <= 512 ? 32 : 16;

/// Rounds of chunks in shared memory: the next is copied while one is used. fp32 has room for one.
template <class T>
constexpr int kBuffers = sizeof(T) == 2 ? 2 : 1;

template <class T, int Dim>
constexpr std::size_t shared_bytes() {
  return static_cast<std::size_t>(
             (kRows + 2 * kBuffers<T> * kSplits<T, Dim> * kChunk<T, Dim>)*tile_stride<T>(Dim)) *
         sizeof(T);
}

/// Merges what the warps of a split found for the same 16 rows, in their order, through `scratch`
/// in shared memory, and writes the answer of all rows to a tile. Barriers must surround it.
template <class T, int Dim, int Keys, int Splits>
__device__ inline void merge_splits(const Flash<T, Dim, Dim, Keys>& flash, int rows_warp, int split,
                                    float* scratch, T* tile) {
  constexpr int kTiles = Dim / 8;
  constexpr int kValues = kTiles * 4 + 4;  // totals, highest, sums
  static_assert(kTiles % Splits == 0);
  const auto slot = [&](int of_split) {
    return scratch + (rows_warp * Splits + of_split) * kValues * static_cast<int>(kWarp) +
           lane_id();
  };
  const auto at = [](int value) { return value * static_cast<int>(kWarp); };
  float* const mine = slot(split);
#pragma unroll
  for (int n = 0; n < kTiles; ++n) {
#pragma unroll
    for (int i = 0; i < 4; ++i) mine[at(4 * n + i)] = flash.totals[n][i];
  }
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    mine[at(4 * kTiles + r)] = flash.highest[r];
    mine[at(4 * kTiles + 2 + r)] = flash.sums[r];
  }
  __syncthreads();
  float weights[Splits][2];
  float share[2];
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    float highest = -INFINITY;
#pragma unroll
    for (int s = 0; s < Splits; ++s) highest = fmaxf(highest, slot(s)[at(4 * kTiles + r)]);
    float sum = 0;
#pragma unroll
    for (int s = 0; s < Splits; ++s) {
      const float other = slot(s)[at(4 * kTiles + r)];
      weights[s][r] = other == -INFINITY ? 0.0F : __expf(other - highest);
      sum += weights[s][r] * slot(s)[at(4 * kTiles + 2 + r)];
    }
    share[r] = sum > 0 ? __fdividef(1.0F, sum) : 0.0F;
  }
  // Each warp merges its part of the columns.
  const int g = lane_id() / 4;
  const int t = lane_id() % 4;
#pragma unroll
  for (int part = 0; part < kTiles / Splits; ++part) {
    const int n = split * (kTiles / Splits) + part;
    float totals[4] = {0, 0, 0, 0};
#pragma unroll
    for (int s = 0; s < Splits; ++s) {
#pragma unroll
      for (int i = 0; i < 4; ++i) totals[i] += weights[s][i / 2] * slot(s)[at(4 * n + i)];
    }
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      store_pair(tile + (rows_warp * 16 + g + 8 * r) * tile_stride<T>(Dim) + 8 * n + 2 * t,
                 totals[2 * r] * share[r], totals[2 * r + 1] * share[r]);
    }
  }
}

/// 64 query rows of one head a block, 16 rows and a part of the keys a warp.
/// Bytes a block: 64 rows of q and y, all keys and values of the segment from the cache.
/// Operations: 4 a query, key and channel.
template <class T, int Dim>
__global__ void __launch_bounds__(kThreads<T, Dim>, sizeof(T) == 2 && Dim <= 32 ? 2 : 1)
    attention_kernel(AttentionArgs<T> args) {
  await_predecessor();
  constexpr int kKeys = kChunk<T, Dim>;
  constexpr int kRound = kKeys * kSplits<T, Dim>;
  constexpr int kStride = tile_stride<T>(Dim);
  const Tile tile = args.tiles[blockIdx.x];
  if (tile.rows == 0) return;
  const int head = static_cast<int>(blockIdx.y);
  const std::int64_t first_query = args.query_segments[tile.segment].begin + tile.begin;
  const Segment segment = args.key_segments[tile.segment];
  auto* const queries = reinterpret_cast<T*>(dynamic_shared());
  T* const buffers = queries + kRows * kStride;
  const int thread = static_cast<int>(threadIdx.x);
  const int rows_warp = thread / static_cast<int>(kWarp) % kRowWarps;
  const int split = thread / static_cast<int>(kWarp) / kRowWarps;

  const auto head_row = [&](const Block<T>& block, std::int64_t row) {
    return block.data + row * block.stride + static_cast<std::int64_t>(head) * block.cols;
  };
  start_rows<T, Dim>(queries, (tile.rows + 15) / 16 * 16, args.query.cols, args.query.wide, thread,
                     kThreads<T, Dim>, [&](int r) -> const T* {
                       return r < tile.rows ? head_row(args.query, first_query + r) : nullptr;
                     });

  // Blocks of this lane's two rows.
  std::int32_t mine[2] = {0, 0};
  if (args.blocks != nullptr) {
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      const int row = rows_warp * 16 + lane_id() / 4 + 8 * r;
      if (row < tile.rows) mine[r] = args.blocks[first_query + row];
    }
  }

  const auto keys_of = [&](int round) {
    return buffers + round % kBuffers<T> * 2 * kRound * kStride;
  };
  const auto key_rows = static_cast<int>(segment.rows);
  // A thread's copies all have the same columns.
  constexpr int kPieces = Dim * static_cast<int>(sizeof(T)) / 16;
  const int own_row = thread / kPieces;
  const int own_column = thread % kPieces * (Dim / kPieces);
  const T* const own_keys = head_row(args.key, segment.begin) + own_column;
  const T* const own_values = head_row(args.value, segment.begin) + own_column;
  const bool simple =
      args.key.wide && args.key.cols == Dim && args.value.wide && args.value.cols == Dim;
  const auto start = [&](int round) {
    const int first = round * kRound;
    const int count = min(key_rows - first, kRound);
    // What no warp looks at need not be there.
    constexpr int kStep = sizeof(T) == 2 ? kKeys : 8;
    const int rows = (count + kStep - 1) / kStep * kStep;
    const auto copy = [&](T* chunk, const Block<T>& block, const T* own) {
      if (!simple) {
        return start_rows<T, Dim>(
            chunk, rows, block.cols, block.wide, thread, kThreads<T, Dim>, [&](int r) -> const T* {
              return r < count ? head_row(block, segment.begin + first + r) : nullptr;
            });
      }
      constexpr int kAtOnce = kThreads<T, Dim> / kPieces;
      static_assert(kRound % kAtOnce == 0);
#pragma unroll
      for (int more = 0; more < kRound; more += kAtOnce) {
        const int r = own_row + more;
        if (r >= rows) break;
        T* const to = chunk + r * kStride + own_column;
        if (r < count) {
          start_copy(to,
                     own + static_cast<std::int64_t>(first + r) * static_cast<int>(block.stride));
        } else {
          *reinterpret_cast<uint4*>(to) = uint4{0, 0, 0, 0};
        }
      }
    };
    copy(keys_of(round), args.key, own_keys);
    copy(keys_of(round) + kRound * kStride, args.value, own_values);
  };

  Flash<T, Dim, Dim, kKeys> flash;
  flash.begin(args.scale);
  const int rounds = (key_rows + kRound - 1) / kRound;
  if (rounds > 0) start(0);
  for (int round = 0; round < rounds; ++round) {
    finish_copies();
    // Also: every warp is done with the other buffer.
    __syncthreads();
    if (kBuffers<T> == 2 && round + 1 < rounds) start(round + 1);
    const int first = round * kRound + split * kKeys;
    const int count = min(key_rows - first, kKeys);
    if (count > 0 && rows_warp * 16 < tile.rows) {
      const T* const keys = keys_of(round) + split * kKeys * kStride;
      const int used = sizeof(T) == 2 ? kKeys : count;  // fp32's products are slow
      float scores[kKeys / 8][4];
      multiply_keys<T, Dim, kKeys>(scores, queries + rows_warp * 16 * kStride, keys, used);
      const int lane_key = lane_id() % 4 * 2;
      if (args.blocks != nullptr) {
#pragma unroll
        for (int n = 0; n < kKeys / 8; ++n) {
#pragma unroll
          for (int i = 0; i < 4; ++i) {
            const int key = min(8 * n + lane_key + i % 2, count - 1);
            const std::int32_t block = args.blocks[segment.begin + first + key];
            scores[n][i] = block == mine[i / 2] ? scores[n][i] : -INFINITY;
          }
        }
      }
      if (count < kKeys) {
#pragma unroll
        for (int n = 0; n < kKeys / 8; ++n) {
#pragma unroll
          for (int i = 0; i < 4; ++i) {
            scores[n][i] = 8 * n + lane_key + i % 2 < count ? scores[n][i] : -INFINITY;
          }
        }
      }
      flash.add_scores(scores, keys + kRound * kStride, kStride, used);
    }
    if (kBuffers<T> == 1 && round + 1 < rounds) {
      __syncthreads();
      start(round + 1);
    }
  }
  // Without keys nothing has waited for the queries' copies yet.
  finish_copies();
  __syncthreads();
  flash.finish();

  // Queries and keys are spent, so their rows take the answer.
  if constexpr (kSplits < T, Dim >> 1) {
    static_assert(kSplits<T, Dim> * kRowWarps * kWarp * (Dim / 2 + 4) * sizeof(float) +
                      kRows * kStride * sizeof(T) <=
                  shared_bytes<T, Dim>());
    merge_splits<T, Dim, kKeys, kSplits<T, Dim>>(flash, rows_warp, split,
                                                 reinterpret_cast<float*>(buffers), queries);
  } else {
    store_totals<T, Dim>(flash.totals, {flash.share(0), flash.share(1)},
                         queries + rows_warp * 16 * kStride, kStride);
  }
  __syncthreads();
  copy_from_tile<T, Dim>(queries, tile.rows, args.y.cols, args.y.wide, thread, kThreads<T, Dim>,
                         [&](int r) -> T* { return head_row(args.y, first_query + r); });
}

}  // namespace

void launch_attention(Stream stream, const AttentionParams& params) {
  if (params.tile_count == 0) return;
  const std::int64_t key_dim = params.query.cols / params.heads;
  const std::int64_t value_dim = params.value.cols / params.heads;
  const std::int64_t dim = key_dim > value_dim ? key_dim : value_dim;
  dispatch_float(params.query.dtype, [&](auto tag) {
    using T = decltype(tag);
    const AttentionArgs<T> args{block_of<T>(params.query, key_dim),
                                block_of<T>(params.key, key_dim),
                                block_of<T>(params.value, value_dim),
                                block_of<T>(params.y, value_dim),
                                params.query_segments,
                                params.key_segments,
                                params.tiles,
                                params.blocks,
                                params.scale};
    const auto run = [&](auto size) {
      constexpr int kDim = decltype(size)::value;
      launch("attention", attention_kernel<T, kDim>,
             dim3{static_cast<unsigned>(params.tile_count), static_cast<unsigned>(params.heads), 1},
             dim3{kThreads<T, kDim>, 1, 1}, shared_bytes<T, kDim>(), stream, args);
    };
    if (dim <= 32) return run(std::integral_constant<int, 32>());
    if (dim <= 64) return run(std::integral_constant<int, 64>());
    if (dim <= 128) return run(std::integral_constant<int, 128>());
    if (dim <= 256) return run(std::integral_constant<int, 256>());
    constexpr int kInvalidValue = 1;  // cudaErrorInvalidValue
    throw_launch_error(kInvalidValue, "attention");
  });
}

}  // namespace itemcrop::cuda::kernels
