// Both products of a feed-forward network in one kernel. Two groups of four warps hold 64 rows each
// in shared memory; a third group's warp brings the weights of 64 hidden values at a time through a
// ring that both groups read. What a group holds of its hidden values after the first product is,
// rounded, what the second one wants of them in registers, so they go nowhere. The first product of
// the next 64 hidden values is started before the second one of these, so that the tensor cores are
// busy while a group rounds. Blocks of rows that are too few for all multiprocessors are shared out
// by hidden values; whoever is last adds the others' sums, always in the same order.
#include <algorithm>
#include <vector>

#include "backend/cuda/kernels/device.cuh"
#include "backend/cuda/kernels/feed_forward.h"
#include "backend/cuda/kernels/hopper.cuh"

namespace itemcrop::cuda::kernels {
namespace {

constexpr std::int64_t kRowsAtOnce = 64;
constexpr std::int64_t kHiddenAtOnce = 64;
constexpr int kGroups = 2;

}  // namespace

FeedForwardSchedule schedule_of(const FeedForwardParams& params) {
  const std::int64_t most = params.multiprocessors;
  const std::int64_t units = ceil_div(params.y.rows, kGroups * kRowsAtOnce);
  const std::int64_t chunks = params.hidden / kHiddenAtOnce;
  FeedForwardSchedule schedule{.blocks = static_cast<std::int32_t>(std::min(most, units)),
                               .units = static_cast<std::int32_t>(units),
                               .chunks = static_cast<std::int32_t>(chunks),
                               .whole = static_cast<std::int32_t>(units)};
  const std::int64_t left = units % most;
  if (!params.split || chunks % 2 != 0 || left == 0) return schedule;
  const std::int64_t shares = std::min(most / left, chunks / 2 / FeedForwardSchedule::kFewestPairs);
  if (shares < 2) return schedule;
  const std::int64_t parts = left * shares;
  schedule.blocks = static_cast<std::int32_t>(units > left ? most : parts);
  schedule.whole = static_cast<std::int32_t>(units - left);
  schedule.parts = static_cast<std::int32_t>(parts);
  return schedule;
}

std::size_t feed_forward_workspace(const FeedForwardParams& params) {
  return static_cast<std::size_t>(schedule_of(params).parts) * kGroups * kRowsAtOnce *
         static_cast<std::size_t>(params.x.cols) * sizeof(float);
}

std::size_t feed_forward_tickets(int multiprocessors) {
  return static_cast<std::size_t>(multiprocessors) * kGroups;
}

bool fits_feed_forward(const FeedForwardParams& params) {
  const Matrix& x = params.x;
  const Matrix& y = params.y;
  const auto aligned = [](const void* data, std::size_t bytes) {
    return data != nullptr && reinterpret_cast<std::uintptr_t>(data) % bytes == 0;
  };
  return (x.dtype == DType::kF16 || x.dtype == DType::kBF16) && y.dtype == x.dtype &&
         (x.cols == 128 || x.cols == 256) && y.cols == x.cols &&
         params.hidden % kHiddenAtOnce == 0 && params.hidden >= 2 * kHiddenAtOnce &&
         params.multiprocessors >= 2 && view_of(x).wide && view_of(y).wide &&
         aligned(params.up, 16) && aligned(params.down, 16) && params.up_stride % 8 == 0 &&
         params.down_stride % 8 == 0 && aligned(params.up_bias, 8) &&
         aligned(params.down_bias, 8) && aligned(params.norm.weight, 8) &&
         aligned(params.norm.bias, 8);
}

#if defined(__CUDACC__)

namespace {

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
  std::int32_t row_blocks;
  FeedForwardSchedule schedule;
  float4* partials;
  std::uint32_t* tickets;
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
/// from the second-level cache. Operations: 4 a row, input and hidden value.
template <class T, int Width>
__global__ void __launch_bounds__(kThreads, 1)
    feed_forward_kernel(const __grid_constant__ CUtensorMap x_map,
                        const __grid_constant__ CUtensorMap up_map,
                        const __grid_constant__ CUtensorMap down_map,
                        const __grid_constant__ FeedForwardArgs args) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  constexpr int kXTiles = Width / kTileCols;
  constexpr int kXTileBytes = kGroupRows * kTileRowBytes;
  constexpr int kWarpsOfAll = kGroups * 4;
  constexpr int kHidden = static_cast<int>(kHiddenAtOnce);
  const auto thread = static_cast<int>(threadIdx.x);
  // The same in all lanes, and the compiler shall know it.
  const int group = __shfl_sync(kAllLanes, thread / kGroupThreads, 0);
  const int lane = thread % static_cast<int>(kWarp);

  const std::uint32_t all_rows = (shared_address(dynamic_shared()) + 1023U) & ~1023U;
  const std::uint32_t ring = all_rows + kGroups * kRowsBytes<Width>;
  const std::uint32_t full = ring + kSlots<Width> * kSlotBytes<Width>;
  const std::uint32_t empty = full + 8 * kSlots<Width>;
  const std::uint32_t rows_ready = empty + 8 * kSlots<Width>;
  const std::uint32_t last_word = rows_ready + 8 * kGroups;  // who arrived when
  if (thread == 0) {
    for (int i = 0; i < kSlots<Width>; ++i) {
      init_barrier(full + 8 * i, 1);
      init_barrier(empty + 8 * i, kWarpsOfAll);
    }
    for (int i = 0; i < kGroups; ++i) init_barrier(rows_ready + 8 * i, 1);
    publish_barriers();
  }
  __syncthreads();
  // Both groups pass the ring together.
  FeedForwardWalk walk(args.schedule, static_cast<int>(blockIdx.x));
  FeedForwardItem item;

  if (group == kGroups) {
    give_registers<24>();
    if (thread == kGroups * kGroupThreads) {
      // No kernel writes weights, so loading them need not wait for the predecessor.
      RingPlace<kSlots<Width>> place;
      const auto next_slot = [&] {
        wait_barrier(empty + 8 * place.slot, place.parity ^ 1);
        expect_bytes(full + 8 * place.slot, kSlotBytes<Width>);
        return ring + place.slot * kSlotBytes<Width>;
      };
      const auto bring_up = [&](int chunk) {
        const std::uint32_t to = next_slot();
        const std::uint32_t ready = full + 8 * place.slot;
#pragma unroll
        for (int i = 0; i < kXTiles; ++i) {
          start_tile_copy(to + i * kXTileBytes, &up_map, i * kTileCols, chunk * kHidden, ready);
        }
        place.advance();
      };
      const auto bring_down = [&](int chunk) {
        const std::uint32_t to = next_slot();
        start_tile_copy(to, &down_map, chunk * kHidden, 0, full + 8 * place.slot);
        place.advance();
      };
      while (walk.next(item)) {
        bring_up(item.begin);
#pragma unroll 1
        for (int chunk = item.begin + 1; chunk < item.end; ++chunk) {
          bring_up(chunk);
          bring_down(chunk - 1);
        }
        bring_down(item.end - 1);
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
    const auto block_of = [&](const FeedForwardItem& of) { return of.unit * kGroups + group; };
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
    const int warp_in_group = thread % kGroupThreads / static_cast<int>(kWarp);
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
      if (lane == 0) arrive(empty + 8 * release.slot);
      release.advance();
    };

    bool more = walk.next(item);
    if (leads && more && block_of(item) < args.row_blocks) start_rows(block_of(item));
    while (more) {
      const FeedForwardItem now = item;
      const int block = block_of(now);
      more = walk.next(item);
      if (block >= args.row_blocks) {
        // Others' weights pass by. What follows such rows has none either, unless it is shared out.
        for (int i = 0; i < 2 * (now.end - now.begin); ++i) {
          await_slot();
          __syncwarp();
          release_slot();
        }
        if (leads && more && block_of(item) < args.row_blocks) start_rows(block_of(item));
        continue;
      }
      float sums[Width / 2] = {};
      float hidden[kHidden / 2] = {};
      std::uint32_t even[kHidden / 16][4];  // rounded hidden values, by turns
      std::uint32_t odd[kHidden / 16][4];

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
      const auto multiply_down = [&](const std::uint32_t(&rounded)[kHidden / 16][4]) {
        const std::uint64_t b = tile_descriptor(await_slot());
        begin_products();
#pragma unroll
        for (int k = 0; k < kHidden / 16; ++k) {
          multiply_tile(T{}, sums, rounded[k], b + k * kNextColumns);
        }
        end_products();
      };
      const auto round_hidden = [&](int chunk, std::uint32_t(&rounded)[kHidden / 16][4]) {
        keep_sums(hidden);
#pragma unroll
        for (int n = 0; n < kHidden / 8; ++n) {
          const float2 bias = table_pair(args.up_bias, chunk * kHidden + 8 * n + 2 * t);
#pragma unroll
          for (int r = 0; r < 2; ++r) {
            rounded[n / 2][n % 2 * 2 + r] =
                packed_pair<T>(fmaxf(hidden[4 * n + 2 * r] + bias.x, 0.0F),
                               fmaxf(hidden[4 * n + 2 * r + 1] + bias.y, 0.0F));
          }
        }
      };
      // The next first product, then the second one of what is rounded; rounds what came.
      const auto step = [&](int chunk, const std::uint32_t(&from)[kHidden / 16][4],
                            std::uint32_t(&to)[kHidden / 16][4]) {
        multiply_up();
        multiply_down(from);
        await_products<1>();
        round_hidden(chunk, to);
        if (chunk > now.begin + 1) release_slot();  // of the second product before
        release_slot();
      };

      wait_barrier(own_ready, parity);
      parity ^= 1;
      keep_sums(sums);
      keep_sums(hidden);
      multiply_up();
      await_products<0>();
      round_hidden(now.begin, even);
      release_slot();
      step(now.begin + 1, even, odd);
      int chunk = now.begin + 2;
#pragma unroll 1
      for (; chunk + 1 < now.end; chunk += 2) {
        step(chunk, odd, even);
        step(chunk + 1, even, odd);
      }
      if (chunk < now.end) {
        step(chunk, odd, even);
        multiply_down(even);
      } else {
        multiply_down(odd);
      }
      // The rows were read for the last time.
      synchronise_group(1 + group);
      if (leads && more && block_of(item) < args.row_blocks) start_rows(block_of(item));
      await_products<0>();
      keep_sums(sums);
      release_slot();
      release_slot();

      const FeedForwardShare share = share_of(args.schedule, now);
      if (share.count > 1) {
        const int in_group = thread % kGroupThreads;
        const auto partial = [&](int part) {
          return args.partials + (part * kGroups + group) * (Width / 8) * kGroupThreads + in_group;
        };
        float4* const own = partial(static_cast<int>(blockIdx.x));
#pragma unroll
        for (int i = 0; i < Width / 8; ++i) {
          own[i * kGroupThreads] = {sums[4 * i], sums[4 * i + 1], sums[4 * i + 2], sums[4 * i + 3]};
        }
        __threadfence();
        synchronise_group(1 + group);
        std::uint32_t* const ticket =
            args.tickets + (now.unit - args.schedule.whole) * kGroups + group;
        std::uint32_t arrived = 0;
        if (leads) {
          arrived = atomicAdd(ticket, 1U);
          store_word(last_word + 4 * group, arrived);
        }
        synchronise_group(1 + group);
        arrived = load_word(last_word + 4 * group);
        if (arrived + 1 != static_cast<std::uint32_t>(share.count)) continue;
        if (leads) *ticket = 0;
        __threadfence();
#pragma unroll
        for (float& sum : sums) sum = 0;
#pragma unroll 1
        for (int part = share.first; part < share.first + share.count; ++part) {
          const float4* const from = partial(part);
#pragma unroll
          for (int i = 0; i < Width / 8; ++i) {
            const float4 more_sums = __ldcg(from + i * kGroupThreads);
            sums[4 * i] += more_sums.x;
            sums[4 * i + 1] += more_sums.y;
            sums[4 * i + 2] += more_sums.z;
            sums[4 * i + 3] += more_sums.w;
          }
        }
      }
      const std::int64_t row =
          static_cast<std::int64_t>(block) * kGroupRows + warp_in_group * 16 + g;
      add_rows(sums, static_cast<const T*>(args.x), args.x_stride, row, args.rows, 0, t);
      add_table(sums, args.down_bias, 0, t);
      normalise_sums(sums, args.norm_weight, args.norm_bias, args.epsilon, t);
      store_rows(sums, static_cast<T*>(args.y), args.y_stride, row, args.rows, 0, t);
    }
  }
#endif
}

template <class T, int Width>
void run(Stream stream, const FeedForwardParams& params) {
  const FeedForwardSchedule schedule = schedule_of(params);
  const DType dtype = params.x.dtype;
  const auto width = static_cast<std::int64_t>(Width);
  launch("feed_forward", feed_forward_kernel<T, Width>,
         dim3{static_cast<unsigned>(schedule.blocks), 1, 1}, dim3{kThreads, 1, 1},
         1024 + kGroups * kRowsBytes<Width> + kSlots<Width> * kSlotBytes<Width> + 256, stream,
         map_of(params.x.data, dtype, params.x.rows, width, params.x.stride, kGroupRows),
         map_of(params.up, dtype, params.hidden, width, params.up_stride,
                static_cast<int>(kHiddenAtOnce)),
         map_of(params.down, dtype, width, params.hidden, params.down_stride, Width),
         FeedForwardArgs{params.x.data, params.y.data, params.up_bias, params.down_bias,
                         params.norm.weight, params.norm.bias, params.x.stride, params.y.stride,
                         params.y.rows, params.norm.epsilon,
                         static_cast<std::int32_t>(ceil_div(params.y.rows, kRowsAtOnce)), schedule,
                         static_cast<float4*>(params.workspace), params.tickets});
}

template <class T>
void run_type(Stream stream, const FeedForwardParams& params) {
  if (params.x.cols == 128) return run<T, 128>(stream, params);
  run<T, 256>(stream, params);
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
