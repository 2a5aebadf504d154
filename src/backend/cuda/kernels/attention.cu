// Attention of ragged segments: text (with blocks) and the decoder's queries.
#include "backend/cuda/kernels/attention.h"
#include "backend/cuda/kernels/device.cuh"
#include "backend/cuda/kernels/flash.cuh"

namespace itemcrop::cuda::kernels {
namespace {

constexpr int kRows = static_cast<int>(kAttentionTileRows);
constexpr int kWarps = kRows / 16;
constexpr int kThreads = kWarps * static_cast<int>(kWarp);

template <class T>
struct AttentionArgs {
  Block<T> query, key, value, y;  // cols: of one head
  const Segment* query_segments;
  const Segment* key_segments;
  const Tile* tiles;
  const std::int32_t* blocks;
  float scale;
};

template <class T, int Dim>
constexpr int chunk_keys() {
  return Dim * static_cast<int>(sizeof(T)) <= 128   ? 64
         : Dim * static_cast<int>(sizeof(T)) <= 512 ? 32
                                                    : 16;
}

/// Chunks of keys and values in shared memory: the next is copied while one is used. fp32 has room
/// for one.
template <class T>
constexpr int kBuffers = sizeof(T) == 2 ? 2 : 1;

template <class T, int Dim>
constexpr std::size_t shared_bytes() {
  return static_cast<std::size_t>((kRows + 2 * kBuffers<T> * chunk_keys<T, Dim>()) *
                                  tile_stride<T>(Dim)) *
         sizeof(T);
}

/// 64 query rows of one head a block, 16 a warp.
/// Bytes a block: 64 rows of q and y, all keys and values of the segment from the cache.
/// Operations: 4 a query, key and channel.
template <class T, int Dim>
__global__ void __launch_bounds__(kThreads) attention_kernel(AttentionArgs<T> args) {
  constexpr int kKeys = chunk_keys<T, Dim>();
  constexpr int kStride = tile_stride<T>(Dim);
  const Tile tile = args.tiles[blockIdx.x];
  if (tile.rows == 0) return;
  const int head = static_cast<int>(blockIdx.y);
  const std::int64_t first_query = args.query_segments[tile.segment].begin + tile.begin;
  const Segment segment = args.key_segments[tile.segment];
  auto* const queries = reinterpret_cast<T*>(dynamic_shared());
  T* const buffers = queries + kRows * kStride;
  const int thread = static_cast<int>(threadIdx.x);
  const int warp = thread / static_cast<int>(kWarp);

  const auto head_row = [&](const Block<T>& block, std::int64_t row) {
    return block.data + row * block.stride + static_cast<std::int64_t>(head) * block.cols;
  };
  start_rows<T, Dim>(queries, kRows, args.query.cols, args.query.wide, thread, kThreads,
                     [&](int r) -> const T* {
                       return r < tile.rows ? head_row(args.query, first_query + r) : nullptr;
                     });

  // Blocks of this lane's two rows.
  std::int32_t mine[2] = {0, 0};
  if (args.blocks != nullptr) {
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      const int row = warp * 16 + lane_id() / 4 + 8 * r;
      if (row < tile.rows) mine[r] = args.blocks[first_query + row];
    }
  }

  const auto keys_of = [&](int chunk) {
    return buffers + chunk % kBuffers<T> * 2 * kKeys * kStride;
  };
  const auto count_of = [&](int chunk) {
    const std::int64_t left = segment.rows - static_cast<std::int64_t>(chunk) * kKeys;
    return static_cast<int>(left < kKeys ? left : kKeys);
  };
  const auto start = [&](int chunk) {
    const int count = count_of(chunk);
    const std::int64_t begin = segment.begin + static_cast<std::int64_t>(chunk) * kKeys;
    const auto rows_of = [&](const Block<T>& block) {
      return [&block, &head_row, begin, count](int r) -> const T* {
        return r < count ? head_row(block, begin + r) : nullptr;
      };
    };
    start_rows<T, Dim>(keys_of(chunk), kKeys, args.key.cols, args.key.wide, thread, kThreads,
                       rows_of(args.key));
    start_rows<T, Dim>(keys_of(chunk) + kKeys * kStride, kKeys, args.value.cols, args.value.wide,
                       thread, kThreads, rows_of(args.value));
  };

  Flash<T, Dim, Dim, kKeys> flash;
  flash.begin(args.scale);
  const auto chunks = static_cast<int>((segment.rows + kKeys - 1) / kKeys);
  if (chunks > 0) start(0);
  for (int chunk = 0; chunk < chunks; ++chunk) {
    finish_copies();
    // Also says that nobody reads the other buffer any more.
    __syncthreads();
    if (kBuffers<T> == 2 && chunk + 1 < chunks) start(chunk + 1);
    const T* const keys = keys_of(chunk);
    const int count = count_of(chunk);
    const std::int64_t begin = segment.begin + static_cast<std::int64_t>(chunk) * kKeys;
    flash.add(queries + warp * 16 * kStride, keys, keys + kKeys * kStride, kStride,
              [&](int row, int key, float product) {
                if (key >= count) return -INFINITY;
                if (args.blocks != nullptr && args.blocks[begin + key] != mine[row / 8]) {
                  return -INFINITY;
                }
                return product;
              });
    if (kBuffers<T> == 1 && chunk + 1 < chunks) {
      __syncthreads();
      start(chunk + 1);
    }
  }
  // Without keys nobody waited for the queries' copies.
  finish_copies();
  __syncthreads();
  flash.finish();

  // The warp's own queries are spent, so their rows take the answer.
  T* const answer = queries + warp * 16 * kStride;
  __syncwarp();
  store_totals<T, Dim>(flash.totals, {flash.share(0), flash.share(1)}, answer, kStride);
  __syncwarp();
  copy_from_tile<T, Dim>(answer, 16, args.y.cols, args.y.wide, lane_id(), static_cast<int>(kWarp),
                         [&](int r) -> T* {
                           const int row = warp * 16 + r;
                           return row < tile.rows ? head_row(args.y, first_query + row) : nullptr;
                         });
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
             dim3{kThreads, 1, 1}, shared_bytes<T, kDim>(), stream, args);
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
