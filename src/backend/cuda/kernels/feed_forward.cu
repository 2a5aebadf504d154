// Both products of a feed-forward network in one kernel. Two groups of four warps hold 64 rows each
// in shared memory; a fifth group's warp brings the weights of 64 hidden values at a time, first
// those of the first product, then those of the second, through a ring that both groups read. What
// a group holds of its hidden values after the first product is, rounded, what the second one wants
// of them in registers, so they go nowhere. While one group rounds, the other multiplies.
#include <algorithm>
#include <vector>

#include "backend/cuda/kernels/device.cuh"
#include "backend/cuda/kernels/feed_forward.h"
#include "backend/cuda/kernels/hopper.cuh"

namespace itemcrop::cuda::kernels {
namespace {

constexpr std::int64_t kRowsAtOnce = 64;
constexpr std::int64_t kHiddenAtOnce = 64;

}  // namespace

bool fits_feed_forward(const FeedForwardParams& params) {
  const Matrix& x = params.x;
  const Matrix& y = params.y;
  const auto aligned = [](const void* data, std::size_t bytes) {
    return data != nullptr && reinterpret_cast<std::uintptr_t>(data) % bytes == 0;
  };
  return (x.dtype == DType::kF16 || x.dtype == DType::kBF16) && y.dtype == x.dtype &&
         (x.cols == 128 || x.cols == 256) && y.cols == x.cols &&
         params.hidden % kHiddenAtOnce == 0 && params.hidden >= 2 * kHiddenAtOnce &&
         view_of(x).wide && view_of(y).wide && aligned(params.up, 16) && aligned(params.down, 16) &&
         params.up_stride % 8 == 0 && params.down_stride % 8 == 0 && aligned(params.up_bias, 8) &&
         aligned(params.down_bias, 8) && aligned(params.norm.weight, 8) &&
         aligned(params.norm.bias, 8);
}

#if defined(__CUDACC__)

namespace {

constexpr int kGroups = 2;
constexpr int kThreads = (kGroups + 1) * kGroupThreads;
constexpr int kSharedBytes = (227 << 10) - 1024;  ///< less what aligning takes

template <int Width>
constexpr int kSlotBytes = Width* kTileRowBytes;
template <int Width>
constexpr int kRowsBytes = kGroupRows* Width * 2;
/// Places of the ring; after them lie barriers.
template <int Width>
constexpr int kSlots = std::min(8, (kSharedBytes - 256 - kGroups * kRowsBytes<Width>) /
                                       kSlotBytes<Width>);

struct FeedForwardArgs {
  const void* x;
  void* y;
  const float* up_bias;
  const float* down_bias;
  const float* norm_weight;
  const float* norm_bias;
  std::int64_t x_stride, y_stride, rows;
  float epsilon;
  std::int32_t chunks;  ///< of hidden values
  std::int32_t row_blocks;
};

/// A place of the ring, and how often all were used before it.
template <int Slots>
struct RingPlace {
  int slot = 0;
  std::uint32_t parity = 0;

  __device__ void advance() {
    if (++slot < Slots) return;
    slot = 0;
    parity ^= 1;
  }
};

/// Bytes: x twice (the second time from the cache) and y once; all weights once for every 128 rows
/// (256 in pairs) from the second-level cache. Operations: 4 a row, input and hidden value.
template <class T, int Width, int Pair>
__global__ void __launch_bounds__(kThreads, 1)
    feed_forward_kernel(const __grid_constant__ CUtensorMap x_map,
                        const __grid_constant__ CUtensorMap up_map,
                        const __grid_constant__ CUtensorMap down_map, FeedForwardArgs args) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  constexpr int kXTiles = Width / kTileCols;
  constexpr int kXTileBytes = kGroupRows * kTileRowBytes;
  constexpr int kWarpsOfAll = kGroups * 4 * Pair;
  constexpr int kHidden = static_cast<int>(kHiddenAtOnce);
  const auto thread = static_cast<int>(threadIdx.x);
  const int group = thread / kGroupThreads;
  const int lane = thread % static_cast<int>(kWarp);

  const std::uint32_t all_rows = (shared_address(dynamic_shared()) + 1023U) & ~1023U;
  const std::uint32_t ring = all_rows + kGroups * kRowsBytes<Width>;
  const std::uint32_t full = ring + kSlots<Width> * kSlotBytes<Width>;
  const std::uint32_t empty = full + 8 * kSlots<Width>;
  const std::uint32_t rows_ready = empty + 8 * kSlots<Width>;
  if (thread == 0) {
    for (int i = 0; i < kSlots<Width>; ++i) {
      init_barrier(full + 8 * i, 1);
      init_barrier(empty + 8 * i, kWarpsOfAll);
    }
    for (int i = 0; i < kGroups; ++i) init_barrier(rows_ready + 8 * i, 1);
    publish_barriers();
  }
  if constexpr (Pair == 2) {
    synchronise_cluster();
  } else {
    __syncthreads();
  }
  const int rank = Pair == 2 ? static_cast<int>(cluster_rank()) : 0;
  const auto blocks = static_cast<int>(gridDim.x);
  // Pairs pass the ring together, as often as the first block of the two has rows.
  const int pair_first = static_cast<int>(blockIdx.x) - rank;

  if (group == kGroups) {
    give_registers<24>();
    if (thread == kGroups * kGroupThreads) {
      // Weights are nobody's answer, so they need not wait for a predecessor.
      RingPlace<kSlots<Width>> place;
      const auto next_slot = [&] {
        wait_barrier(empty + 8 * place.slot, place.parity ^ 1);
        expect_bytes(full + 8 * place.slot, kSlotBytes<Width>);
        return ring + place.slot * kSlotBytes<Width>;
      };
      for (int first = pair_first; first < args.row_blocks; first += kGroups * blocks) {
#pragma unroll 1
        for (int chunk = 0; chunk < args.chunks; ++chunk) {
          std::uint32_t to = next_slot();
          std::uint32_t ready = full + 8 * place.slot;
#pragma unroll
          for (int i = 0; i < kXTiles / Pair; ++i) {
            const int tile = Pair * i + rank;
            if constexpr (Pair == 2) {
              start_tile_copies(to + tile * kXTileBytes, &up_map, tile * kTileCols, chunk * kHidden,
                                ready, 3);
            } else {
              start_tile_copy(to + tile * kXTileBytes, &up_map, tile * kTileCols, chunk * kHidden,
                              ready);
            }
          }
          place.advance();
          to = next_slot() + rank * (kSlotBytes<Width> / Pair);
          ready = full + 8 * place.slot;
          if constexpr (Pair == 2) {
            start_tile_copies(to, &down_map, chunk * kHidden, rank * (Width / Pair), ready, 3);
          } else {
            start_tile_copy(to, &down_map, chunk * kHidden, 0, ready);
          }
          place.advance();
        }
      }
    }
    __syncwarp();
    await_predecessor();
  } else {
    take_registers<240>();
    await_predecessor();
    const bool leads = thread % kGroupThreads == 0;
    const std::uint32_t own_rows = all_rows + group * kRowsBytes<Width>;
    const std::uint32_t own_ready = rows_ready + 8 * group;
    const auto start_rows = [&](int block) {
      expect_bytes(own_ready, kRowsBytes<Width>);
#pragma unroll
      for (int i = 0; i < kXTiles; ++i) {
        start_tile_copy(own_rows + i * kXTileBytes, &x_map, i * kTileCols, block * kGroupRows,
                        own_ready);
      }
    };
    const int g = lane / 4;
    const int t = lane % 4;
    const int warp_row = thread % kGroupThreads / static_cast<int>(kWarp) * 16 + g;
    RingPlace<kSlots<Width>> place;    // next to be read
    RingPlace<kSlots<Width>> release;  // next to be released
    std::uint32_t parity = 0;
    const auto await_slot = [&] {
      wait_barrier(full + 8 * place.slot, place.parity);
      const std::uint32_t at = ring + place.slot * kSlotBytes<Width>;
      place.advance();
      return at;
    };
    const auto release_slot = [&] {
      if (lane == 0) {
        if constexpr (Pair == 2) {
          arrive_at(empty + 8 * release.slot, 0);
          arrive_at(empty + 8 * release.slot, 1);
        } else {
          arrive(empty + 8 * release.slot);
        }
      }
      release.advance();
    };

    int block = static_cast<int>(blockIdx.x) + blocks * group;
    if (leads && block < args.row_blocks) start_rows(block);
    for (int first = pair_first; first < args.row_blocks;
         first += kGroups * blocks, block += kGroups * blocks) {
      if (block >= args.row_blocks) {
        // Others' weights pass by.
        for (int i = 0; i < 2 * args.chunks; ++i) {
          await_slot();
          __syncwarp();
          release_slot();
        }
        continue;
      }
      float sums[Width / 2] = {};
      float hidden[kHidden / 2] = {};
      std::uint32_t rounded[kHidden / 16][4];

      const auto multiply_up = [&] {
        const std::uint32_t weights = await_slot();
        begin_products();
#pragma unroll
        for (int i = 0; i < kXTiles; ++i) {
          const std::uint64_t a = tile_descriptor(own_rows + i * kXTileBytes);
          const std::uint64_t b = tile_descriptor(weights + i * kXTileBytes);
#pragma unroll
          for (int k = 0; k < kTileCols / 16; ++k) {
            multiply_tiles(T{}, hidden, a + k * kNextColumns, b + k * kNextColumns,
                           i + k > 0 ? 1 : 0);
          }
        }
        end_products();
      };
      const auto multiply_down = [&] {
        const std::uint64_t b = tile_descriptor(await_slot());
        begin_products();
#pragma unroll
        for (int k = 0; k < kHidden / 16; ++k) {
          multiply_tile(T{}, sums, rounded[k], b + k * kNextColumns);
        }
        end_products();
      };
      const auto round_hidden = [&](int chunk) {
        float2 bias[kHidden / 8];
#pragma unroll
        for (int n = 0; n < kHidden / 8; ++n) {
          bias[n] = table_pair(args.up_bias, chunk * kHidden + 8 * n + 2 * t);
        }
        await_products<0>();
        keep_sums(hidden);
#pragma unroll
        for (int n = 0; n < kHidden / 8; ++n) {
#pragma unroll
          for (int r = 0; r < 2; ++r) {
            rounded[n / 2][n % 2 * 2 + r] =
                packed_pair<T>(fmaxf(hidden[4 * n + 2 * r] + bias[n].x, 0.0F),
                               fmaxf(hidden[4 * n + 2 * r + 1] + bias[n].y, 0.0F));
          }
        }
      };

      wait_barrier(own_ready, parity);
      parity ^= 1;
      keep_sums(sums);
      keep_sums(hidden);
      multiply_up();
      round_hidden(0);
      release_slot();
      int chunk = 1;
#pragma unroll 1
      do {
        multiply_down();
        multiply_up();
        round_hidden(chunk);
        release_slot();
        release_slot();
      } while (++chunk < args.chunks);
      // The rows were read for the last time.
      synchronise_group(1 + group);
      if (leads && block + kGroups * blocks < args.row_blocks) start_rows(block + kGroups * blocks);
      multiply_down();
      await_products<0>();
      keep_sums(sums);
      release_slot();

      const std::int64_t row = static_cast<std::int64_t>(block) * kGroupRows + warp_row;
      add_rows(sums, static_cast<const T*>(args.x), args.x_stride, row, args.rows, 0, t);
      add_table(sums, args.down_bias, 0, t);
      normalise_sums(sums, args.norm_weight, args.norm_bias, args.epsilon, t);
      store_rows(sums, static_cast<T*>(args.y), args.y_stride, row, args.rows, 0, t);
    }
  }
  // Nobody leaves while the other block may still send something or be told.
  if constexpr (Pair == 2) synchronise_cluster();
#endif
}

template <class T, int Width, int Pair>
void run(Stream stream, const FeedForwardParams& params) {
  const auto row_blocks = static_cast<int>(ceil_div(params.y.rows, kRowsAtOnce));
  const int most = params.multiprocessors / Pair * Pair;
  const int wanted = (row_blocks + Pair - 1) / Pair * Pair;
  const DType dtype = params.x.dtype;
  const auto width = static_cast<std::int64_t>(Width);
  launch_clusters(
      "feed_forward", feed_forward_kernel<T, Width, Pair>,
      dim3{static_cast<unsigned>(std::min(most, wanted)), 1, 1}, dim3{kThreads, 1, 1},
      1024 + kGroups * kRowsBytes<Width> + kSlots<Width> * kSlotBytes<Width> + 256, Pair, stream,
      map_of(params.x.data, dtype, params.x.rows, width, params.x.stride, kGroupRows),
      map_of(params.up, dtype, params.hidden, width, params.up_stride,
             static_cast<int>(kHiddenAtOnce)),
      map_of(params.down, dtype, width, params.hidden, params.down_stride, Width / Pair),
      FeedForwardArgs{params.x.data, params.y.data, params.up_bias, params.down_bias,
                      params.norm.weight, params.norm.bias, params.x.stride, params.y.stride,
                      params.y.rows, params.norm.epsilon,
                      static_cast<std::int32_t>(params.hidden / kHiddenAtOnce), row_blocks});
}

template <class T>
void run_type(Stream stream, const FeedForwardParams& params) {
  if (params.x.cols == 128) {
    return params.pairs ? run<T, 128, 2>(stream, params) : run<T, 128, 1>(stream, params);
  }
  params.pairs ? run<T, 256, 2>(stream, params) : run<T, 256, 1>(stream, params);
}

}  // namespace

void launch_feed_forward(Stream stream, const FeedForwardParams& params) {
  if (params.y.rows == 0) return;
  if (params.x.dtype == DType::kF16) return run_type<Half>(stream, params);
  run_type<BFloat16>(stream, params);
}

#else

namespace {

/// What the device computes, by loops.
template <class T>
void run_type(const FeedForwardParams& params) {
  const View x = view_of(params.x);
  const View up{const_cast<void*>(params.up), params.up_stride, x.cols, x.dtype};
  const View down{const_cast<void*>(params.down), params.down_stride,
                  static_cast<std::int32_t>(params.hidden), x.dtype};
  const auto hidden_cols = static_cast<int>(params.hidden);
  std::vector<float> hidden(static_cast<std::size_t>(hidden_cols));
  std::vector<float> values(static_cast<std::size_t>(x.cols));
  for (std::int64_t row = 0; row < params.y.rows; ++row) {
    for (int h = 0; h < hidden_cols; ++h) {
      float sum = 0;
      for (int k = 0; k < x.cols; ++k) sum += load_value(x, row, k) * load_value(up, h, k);
      hidden[static_cast<std::size_t>(h)] =
          to_float(converted<T>(std::max(sum + params.up_bias[h], 0.0F)));
    }
    for (int c = 0; c < x.cols; ++c) {
      float sum = 0;
      for (int h = 0; h < hidden_cols; ++h) {
        sum += hidden[static_cast<std::size_t>(h)] * load_value(down, c, h);
      }
      sum += load_value(x, row, c) + params.down_bias[c];
      values[static_cast<std::size_t>(c)] = sum;
    }
    normalise_row(values, params.norm);
    for (int c = 0; c < x.cols; ++c) {
      params.y.row<T>(row)[c] = converted<T>(values[static_cast<std::size_t>(c)]);
    }
  }
}

}  // namespace

void launch_feed_forward(Stream stream, const FeedForwardParams& params) {
  emulation::require_selected(stream, "feed_forward");
  if (!fits_feed_forward(params)) emulation::fault("feed_forward does not fit");
  if (params.x.dtype == DType::kF16) return run_type<Half>(params);
  run_type<BFloat16>(params);
}

#endif

}  // namespace itemcrop::cuda::kernels
