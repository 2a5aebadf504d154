// Folded fusion of long texts by wgmma, on normalised rows X in memory:
// 1. Keys, their biases and values to X's type, every head padded to whole tiles of 64 columns.
// 2. Context: 64 columns of S^T = K X^T by each group of four warps, a softmax along the rows of X
//    with a running maximum, and the sums P' X. X comes by the bulk copy engine and serves twice.
// 3. The chunks' sums are merged (fusion.cu).
// 4. Vision: a group's 64 rows in shared memory, keys and values in tiles of 64 columns through a
//    ring: once all keys for every head's maximum and sum, then keys and values for the answer.
//
// Bytes: X read twice and written once; keys (twice) and values once for every 128 rows from the
// second-level cache. Operations a row, column and channel: 4 for the context, 6 for vision.
#include <algorithm>

#include "backend/cuda/kernels/fusion.cuh"
#include "backend/cuda/kernels/hopper.cuh"
#include "backend/cuda/kernels/row_products.h"

namespace itemcrop::cuda::kernels {

bool fits_hopper_fusion(std::int64_t dim, DType dtype, int heads) {
  return size_of(dtype) == 2 && (dim == 128 || dim == 256) && heads <= kHopperFusionHeads;
}

#if defined(__CUDACC__)

namespace {

constexpr int kLanes = static_cast<int>(kWarp);
constexpr int kTile = 64;  ///< rows and columns of a tile
constexpr int kTileBytes = kTile * kTileRowBytes;
constexpr int kPadThreads = 256;
constexpr int kVisionGroups = 2;
constexpr int kVisionSlots = 4;
constexpr int kContextGroups = 2;
constexpr int kContextSlots = 4;
constexpr float kLog2E = 1.44269504F;  ///< keys and biases are scaled: exp(x) = 2^(x log2(e))

template <int Width>
constexpr int kStageBytes = Width / kTileCols* kTileBytes;

// --- 1. padded keys and values ---------------------------------------------------------------

struct PadArgs {
  View keys, key_bias, values;
  void* padded_keys;
  void* padded_values;
  float* padded_bias;
  const FusionSample* samples;
  int heads;
};

/// A padded row a warp.
template <class T>
__global__ void __launch_bounds__(kPadThreads) pad_kernel(PadArgs args) {
  await_predecessor();
  const FusionSample sample = args.samples[blockIdx.y];
  const int warps = static_cast<int>(blockDim.x) / kLanes;
  const int column = static_cast<int>(blockIdx.x) * warps + static_cast<int>(threadIdx.x) / kLanes;
  if (column >= sample.padded.rows) return;
  const int lane = static_cast<int>(threadIdx.x) % kLanes;
  const std::int64_t tokens = sample.folded.rows / args.heads;
  const std::int64_t head = column / sample.padded_tokens;
  const std::int64_t token = column % sample.padded_tokens;
  const bool inside = token < tokens && head < args.heads;
  const std::int64_t from = sample.folded.begin + head * tokens + token;
  const std::int64_t to = sample.padded.begin + column;
  for (int c = lane * kVector; c < args.keys.cols; c += kLanes * kVector) {
    float key[kVector] = {};
    float value[kVector] = {};
    if (inside) {
      load_typed<float>(args.keys, from, c, key);
      load_typed<float>(args.values, from, c, value);
    }
#pragma unroll
    for (float& k : key) k *= kLog2E;
    store_packed(key, static_cast<T*>(args.padded_keys) + to * args.keys.cols + c);
    store_packed(value, static_cast<T*>(args.padded_values) + to * args.keys.cols + c);
  }
  if (lane == 0) {
    args.padded_bias[to] =
        inside ? static_cast<const float*>(args.key_bias.data)[from * args.key_bias.stride] * kLog2E
               : -INFINITY;
  }
}

// --- 2. context ------------------------------------------------------------------------------

template <int Slots>
struct Place {
  int slot = 0;
  std::uint32_t parity = 0;

  __device__ void advance() {
    if (++slot < Slots) return;
    slot = 0;
    parity ^= 1;
  }
};

struct ContextArgs {
  const FusionSample* samples;
  const FusionChunk* chunks;
  const float* padded_bias;
  float* partials;
  int chunk_count;
  int heads;
  int partial_stride;
};

/// Both groups share X and have a tile of columns each.
template <class T, int Width>
__global__ void __launch_bounds__((kContextGroups + 1) * kGroupThreads, 1)
    context_kernel(const __grid_constant__ CUtensorMap x_map,
                   const __grid_constant__ CUtensorMap keys_map,
                   const __grid_constant__ ContextArgs args) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  constexpr int kStage = kStageBytes<Width>;
  constexpr int kXTiles = Width / kTileCols;
  constexpr int kSlots = kContextSlots;
  const auto thread = static_cast<int>(threadIdx.x);
  const int group = __shfl_sync(kAllLanes, thread / kGroupThreads, 0);
  const int lane = thread % kLanes;
  const std::uint32_t keys = (shared_address(dynamic_shared()) + 1023U) & ~1023U;
  const std::uint32_t ring = keys + kContextGroups * kStage;
  const std::uint32_t full = ring + kSlots * kStage;
  const std::uint32_t empty = full + 8 * kSlots;
  const std::uint32_t keys_full = empty + 8 * kSlots;
  const std::uint32_t keys_empty = keys_full + 8;
  if (thread == 0) {
    for (int i = 0; i < kSlots; ++i) {
      init_barrier(full + 8 * i, 1);
      init_barrier(empty + 8 * i, 4 * kContextGroups);
    }
    init_barrier(keys_full, 1);
    init_barrier(keys_empty, 4 * kContextGroups);
    publish_barriers();
  }
  __syncthreads();
  await_predecessor();
  const std::int64_t blocks = gridDim.x;
  const auto begin =
      static_cast<int>(blockIdx.x * static_cast<std::int64_t>(args.chunk_count) / blocks);
  const auto end =
      static_cast<int>((blockIdx.x + 1) * static_cast<std::int64_t>(args.chunk_count) / blocks);
  int keys_sample = -1;
  int keys_column = -1;
  std::uint32_t keys_parity = 0;
  Place<kSlots> place;

  if (group == kContextGroups) {
    give_registers<24>();
    if (thread == kContextGroups * kGroupThreads) {
#pragma unroll 1
      for (int item = begin; item < end; ++item) {
        const FusionChunk chunk = args.chunks[item];
        const FusionSample& sample = args.samples[chunk.sample];
        if (chunk.sample != keys_sample || chunk.column != keys_column) {
          if (keys_sample >= 0) {
            wait_barrier(keys_empty, keys_parity);
            keys_parity ^= 1;
          }
          keys_sample = chunk.sample;
          keys_column = chunk.column;
          expect_bytes(keys_full, kContextGroups * kStage);
          const auto first = static_cast<int>(sample.padded.begin) + chunk.column;
#pragma unroll
          for (int i = 0; i < kContextGroups * kXTiles; ++i) {
            start_tile_copy(keys + i * kTileBytes, &keys_map, i % kXTiles * kTileCols,
                            first + i / kXTiles * kTile, keys_full);
          }
        }
        const auto row = static_cast<int>(sample.vision.begin) + chunk.row;
#pragma unroll 1
        for (int r = 0; r < chunk.rows; r += kTile) {
          wait_barrier(empty + 8 * place.slot, place.parity ^ 1);
          const std::uint32_t ready = full + 8 * place.slot;
          expect_bytes(ready, kStage);
#pragma unroll
          for (int i = 0; i < kXTiles; ++i) {
            start_tile_copy(ring + place.slot * kStage + i * kTileBytes, &x_map, i * kTileCols,
                            row + r, ready);
          }
          place.advance();
        }
      }
    }
    return;
  }
  take_registers<240>();
  const int g = lane / 4;
  const int t = lane % 4;
  const int warp = thread % kGroupThreads / kLanes;
  const std::uint32_t own_keys = keys + group * kStage;
  Place<kSlots> release;
  const auto await_tile = [&] {
    wait_barrier(full + 8 * place.slot, place.parity);
    const std::uint32_t at = ring + place.slot * kStage;
    place.advance();
    return at;
  };
  const auto release_tile = [&] {
    if (lane == 0) arrive(empty + 8 * release.slot);
    release.advance();
  };
#pragma unroll 1
  for (int item = begin; item < end; ++item) {
    const FusionChunk chunk = args.chunks[item];
    const FusionSample& sample = args.samples[chunk.sample];
    if (chunk.sample != keys_sample || chunk.column != keys_column) {
      keys_sample = chunk.sample;
      keys_column = chunk.column;
      wait_barrier(keys_full, keys_parity);
      keys_parity ^= 1;
    }
    const int column = chunk.column + group * kTile + warp * 16 + g;
    float bias[2];
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      bias[r] = column + 8 * r < sample.padded.rows
                    ? args.padded_bias[sample.padded.begin + column + 8 * r]
                    : -INFINITY;
    }
    float sums[Width / 2] = {};
    float scores[kTile / 2] = {};
    std::uint32_t weights[kTile / 16][4];
    float highest[2] = {-INFINITY, -INFINITY};
    float totals[2] = {0, 0};
    float corrections[2];

    const auto score = [&](std::uint32_t x) {
      begin_products();
#pragma unroll
      for (int i = 0; i < kXTiles; ++i) {
        const std::uint64_t a = tile_descriptor(own_keys + i * kTileBytes);
        const std::uint64_t b = tile_descriptor(x + i * kTileBytes);
#pragma unroll
        for (int k = 0; k < kTileCols / 16; ++k) {
          multiply_tiles(T{}, scores, a + k * kNextColumns, b + k * kNextColumns,
                         i + k > 0 ? 1 : 0);
        }
      }
      end_products();
    };
    const auto sum_up = [&](std::uint32_t x) {
      const std::uint64_t b = rows_descriptor(x);
      begin_products();
#pragma unroll
      for (int k = 0; k < kTile / 16; ++k) {
        multiply_tile_by_rows(T{}, sums, weights[k], b + k * kNextRows);
      }
      end_products();
    };
    // Powers of the scores of `count` rows, relative to the highest so far, to `scores`.
    const auto weigh = [&](int count) {
      keep_sums(scores);
#pragma unroll
      for (int r = 0; r < 2; ++r) {
        float most = highest[r];
#pragma unroll
        for (int n = 0; n < kTile / 8; ++n) {
#pragma unroll
          for (int j = 0; j < 2; ++j) {
            float& s = scores[4 * n + 2 * r + j];
            s = 8 * n + 2 * t + j < count ? s + bias[r] : -INFINITY;
            most = fmaxf(most, s);
          }
        }
        most = group_max<4>(most);
        const float origin = origin_of(most);
        corrections[r] = power_of_two(highest[r] - origin);
        highest[r] = most;
        float sum = 0;
#pragma unroll
        for (int n = 0; n < kTile / 8; ++n) {
#pragma unroll
          for (int j = 0; j < 2; ++j) {
            float& s = scores[4 * n + 2 * r + j];
            s = power_of_two(s - origin);
            sum += s;
          }
        }
        totals[r] = totals[r] * corrections[r] + sum;
      }
    };
    const auto round_weights = [&] {
#pragma unroll
      for (int n = 0; n < kTile / 8; ++n) {
#pragma unroll
        for (int r = 0; r < 2; ++r) {
          weights[n / 2][n % 2 * 2 + r] =
              packed_pair<T>(scores[4 * n + 2 * r], scores[4 * n + 2 * r + 1]);
        }
      }
    };

    keep_sums(sums);
    keep_sums(scores);
    std::uint32_t now = await_tile();
    score(now);
    await_products<0>();
    weigh(chunk.rows);
    round_weights();
    int left = chunk.rows - kTile;
#pragma unroll 1
    for (; left > 0; left -= kTile) {
      const std::uint32_t next = await_tile();
      score(next);
      sum_up(now);
      now = next;
      await_products<1>();
      weigh(left);
      await_products<0>();
      keep_sums(sums);
      release_tile();
      round_weights();
#pragma unroll
      for (int n = 0; n < Width / 8; ++n) {
#pragma unroll
        for (int i = 0; i < 4; ++i) sums[4 * n + i] *= corrections[i / 2];
      }
      keep_sums(sums);
    }
    // The keys were read for the last time, if other ones come.
    const bool others = item + 1 < end && (args.chunks[item + 1].sample != keys_sample ||
                                           args.chunks[item + 1].column != keys_column);
    sum_up(now);
    if (others && lane == 0) arrive(keys_empty);
    await_products<0>();
    keep_sums(sums);
    release_tile();

#pragma unroll
    for (int r = 0; r < 2; ++r) {
      const float total = group_sum<4>(totals[r]);
      const int own = column + 8 * r;
      const int tokens = static_cast<int>(sample.folded.rows) / args.heads;
      const int head = own / sample.padded_tokens;
      const int token = own % sample.padded_tokens;
      if (head >= args.heads || token >= tokens) continue;
      float* const to = args.partials + (sample.first_partial + chunk.number * sample.folded.rows +
                                         head * tokens + token) *
                                            args.partial_stride;
      if (t == 0) {
        to[0] = highest[r] / kLog2E;
        to[1] = total;
      }
#pragma unroll
      for (int n = 0; n < Width / 8; ++n) {
        *reinterpret_cast<float2*>(to + kPartialHead + 8 * n + 2 * t) = {sums[4 * n + 2 * r],
                                                                         sums[4 * n + 2 * r + 1]};
      }
    }
  }
#endif
}

// --- 4. vision -------------------------------------------------------------------------------

struct VisionArgs {
  void* vision;
  std::int64_t stride;
  const FusionSample* samples;
  const Tile* tiles;
  const float* padded_bias;
  const float* gamma;
  const float* output_bias;
  int tile_count;
  int heads;
};

template <class T, int Width>
__global__ void __launch_bounds__((kVisionGroups + 1) * kGroupThreads, 1)
    hopper_vision_kernel(const __grid_constant__ CUtensorMap x_map,
                         const __grid_constant__ CUtensorMap keys_map,
                         const __grid_constant__ CUtensorMap values_map,
                         const __grid_constant__ VisionArgs args) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  constexpr int kStage = kStageBytes<Width>;
  constexpr int kXTiles = Width / kTileCols;
  constexpr int kSlots = kVisionSlots;
  const auto thread = static_cast<int>(threadIdx.x);
  const int group = __shfl_sync(kAllLanes, thread / kGroupThreads, 0);
  const int lane = thread % kLanes;
  const std::uint32_t all_rows = (shared_address(dynamic_shared()) + 1023U) & ~1023U;
  const std::uint32_t ring = all_rows + kVisionGroups * kStage;
  const std::uint32_t full = ring + kSlots * kStage;
  const std::uint32_t empty = full + 8 * kSlots;
  const std::uint32_t rows_ready = empty + 8 * kSlots;
  const std::uint32_t measures = rows_ready + 8 * kVisionGroups;  // [group][head][row]
  if (thread == 0) {
    for (int i = 0; i < kSlots; ++i) {
      init_barrier(full + 8 * i, 1);
      init_barrier(empty + 8 * i, 4 * kVisionGroups);
    }
    for (int i = 0; i < kVisionGroups; ++i) init_barrier(rows_ready + 8 * i, 1);
    publish_barriers();
  }
  __syncthreads();
  await_predecessor();
  const auto blocks = static_cast<int>(gridDim.x);
  Place<kSlots> place;

  if (group == kVisionGroups) {
    give_registers<24>();
    if (thread == kVisionGroups * kGroupThreads) {
      const auto bring = [&](const CUtensorMap* map, int row) {
        wait_barrier(empty + 8 * place.slot, place.parity ^ 1);
        const std::uint32_t ready = full + 8 * place.slot;
        expect_bytes(ready, kStage);
#pragma unroll
        for (int i = 0; i < kXTiles; ++i) {
          start_tile_copy(ring + place.slot * kStage + i * kTileBytes, map, i * kTileCols, row,
                          ready);
        }
        place.advance();
      };
#pragma unroll 1
      for (int at = static_cast<int>(blockIdx.x); at < args.tile_count; at += blocks) {
        const FusionSample& sample = args.samples[args.tiles[at].segment];
        const auto first = static_cast<int>(sample.padded.begin);
        const auto columns = static_cast<int>(sample.padded.rows);
#pragma unroll 1
        for (int c = 0; c < columns; c += kTile) bring(&keys_map, first + c);
#pragma unroll 1
        for (int c = 0; c < columns; c += kTile) {
          bring(&keys_map, first + c);
          bring(&values_map, first + c);
        }
      }
    }
    return;
  }
  take_registers<240>();
  const bool leads = thread % kGroupThreads == 0;
  const int warp = thread % kGroupThreads / kLanes;
  const int g = lane / 4;
  const int t = lane % 4;
  const std::uint32_t own_rows = all_rows + group * kStage;
  const std::uint32_t own_ready = rows_ready + 8 * group;
  const std::uint32_t own_measures =
      measures + 4 * (group * kHopperFusionHeads * kTile + warp * 16 + g);
  Place<kSlots> release;
  std::uint32_t parity = 0;
  const auto await_slot = [&] {
    wait_barrier(full + 8 * place.slot, place.parity);
    const std::uint32_t at = ring + place.slot * kStage;
    place.advance();
    return at;
  };
  const auto release_slot = [&] {
    if (lane == 0) arrive(empty + 8 * release.slot);
    release.advance();
  };
  /// Starts this group's rows of a tile, if it has any.
  const auto start_rows = [&](int at) {
    if (at >= args.tile_count) return;
    const Tile tile = args.tiles[at];
    if (tile.rows <= group * kTile) return;
    const auto row =
        static_cast<int>(args.samples[tile.segment].vision.begin + tile.begin) + group * kTile;
    expect_bytes(own_ready, kStage);
#pragma unroll
    for (int i = 0; i < kXTiles; ++i) {
      start_tile_copy(own_rows + i * kTileBytes, &x_map, i * kTileCols, row, own_ready);
    }
  };
  if (leads) start_rows(static_cast<int>(blockIdx.x));
#pragma unroll 1
  for (int at = static_cast<int>(blockIdx.x); at < args.tile_count; at += blocks) {
    const Tile tile = args.tiles[at];
    const FusionSample& sample = args.samples[tile.segment];
    const auto columns = static_cast<int>(sample.padded.rows);
    if (tile.rows <= group * kTile) {
      for (int i = 0; i < columns / kTile * 3; ++i) {
        await_slot();
        __syncwarp();
        release_slot();
      }
      if (leads) start_rows(at + blocks);
      continue;
    }
    const float* const bias = args.padded_bias + sample.padded.begin;
    float sums[Width / 2] = {};
    float scores[kTile / 2] = {};
    std::uint32_t shares[kTile / 16][4];

    const auto score = [&] {
      const std::uint32_t keys = await_slot();
      begin_products();
#pragma unroll
      for (int i = 0; i < kXTiles; ++i) {
        const std::uint64_t a = tile_descriptor(own_rows + i * kTileBytes);
        const std::uint64_t b = tile_descriptor(keys + i * kTileBytes);
#pragma unroll
        for (int k = 0; k < kTileCols / 16; ++k) {
          multiply_tiles(T{}, scores, a + k * kNextColumns, b + k * kNextColumns,
                         i + k > 0 ? 1 : 0);
        }
      }
      end_products();
    };
    const auto add_values = [&] {
      const std::uint64_t b = rows_descriptor(await_slot());
      begin_products();
#pragma unroll
      for (int k = 0; k < kTile / 16; ++k) {
        multiply_tile_by_rows(T{}, sums, shares[k], b + k * kNextRows);
      }
      end_products();
    };
    const auto add_bias = [&](int column) {
      keep_sums(scores);
#pragma unroll
      for (int n = 0; n < kTile / 8; ++n) {
        const float2 two = *reinterpret_cast<const float2*>(bias + column + 8 * n + 2 * t);
        scores[4 * n] += two.x;
        scores[4 * n + 1] += two.y;
        scores[4 * n + 2] += two.x;
        scores[4 * n + 3] += two.y;
      }
    };
    const auto round_shares = [&] {
#pragma unroll
      for (int n = 0; n < kTile / 8; ++n) {
#pragma unroll
        for (int r = 0; r < 2; ++r) {
          shares[n / 2][n % 2 * 2 + r] =
              packed_pair<T>(scores[4 * n + 2 * r], scores[4 * n + 2 * r + 1]);
        }
      }
    };
    /// 2^(score - the logarithm of its head's sum).
    const auto share_out = [&](int column) {
      add_bias(column);
      const int head = column / sample.padded_tokens;
      __syncwarp();
#pragma unroll
      for (int r = 0; r < 2; ++r) {
        const float measure = __uint_as_float(load_word(own_measures + 4 * (head * kTile + 8 * r)));
#pragma unroll
        for (int n = 0; n < kTile / 8; ++n) {
#pragma unroll
          for (int j = 0; j < 2; ++j) {
            float& s = scores[4 * n + 2 * r + j];
            s = power_of_two(s - measure);
          }
        }
      }
      round_shares();
    };
    wait_barrier(own_ready, parity);
    parity ^= 1;
    keep_sums(sums);
    keep_sums(scores);
    {
      float highest[2] = {-INFINITY, -INFINITY};
      float totals[2] = {0, 0};
      int column = 0;
#pragma unroll 1
      do {
        score();
        await_products<0>();
        add_bias(column);
        release_slot();
#pragma unroll
        for (int r = 0; r < 2; ++r) {
          float most = highest[r];
#pragma unroll
          for (int n = 0; n < kTile / 8; ++n) {
            most = fmaxf(most, fmaxf(scores[4 * n + 2 * r], scores[4 * n + 2 * r + 1]));
          }
          most = group_max<4>(most);
          const float origin = origin_of(most);
          float sum = 0;
#pragma unroll
          for (int n = 0; n < kTile / 8; ++n) {
            sum += power_of_two(scores[4 * n + 2 * r] - origin) +
                   power_of_two(scores[4 * n + 2 * r + 1] - origin);
          }
          totals[r] = totals[r] * power_of_two(highest[r] - origin) + sum;
          highest[r] = most;
        }
        column += kTile;
        if (column % sample.padded_tokens == 0) {
          const int head = column / sample.padded_tokens - 1;
#pragma unroll
          for (int r = 0; r < 2; ++r) {
            const float measure = origin_of(highest[r]) + __log2f(group_sum<4>(totals[r]));
            if (t == 0) {
              store_word(own_measures + 4 * (head * kTile + 8 * r), __float_as_uint(measure));
            }
            highest[r] = -INFINITY;
            totals[r] = 0;
          }
        }
      } while (column < columns);
      keep_sums(scores);
    }
    score();
    await_products<0>();
    share_out(0);
    release_slot();
    int column = kTile;
#pragma unroll 1
    for (; column < columns; column += kTile) {
      add_values();
      score();
      await_products<0>();
      keep_sums(sums);
      share_out(column);
      release_slot();
      release_slot();
    }
    // The rows were read for the last time.
    synchronise_group(1 + group);
    if (leads) start_rows(at + blocks);
    add_values();
    await_products<0>();
    keep_sums(sums);
    release_slot();

    const std::int64_t first = sample.vision.begin + tile.begin;
    const std::int64_t row = first + group * kTile + warp * 16 + g;
    const std::int64_t rows = first + tile.rows;
#pragma unroll
    for (int n = 0; n < Width / 8; ++n) {
      const float2 gamma = table_pair(args.gamma, 8 * n + 2 * t);
      const float2 added = table_pair(args.output_bias, 8 * n + 2 * t);
#pragma unroll
      for (int r = 0; r < 2; ++r) {
        sums[4 * n + 2 * r] = gamma.x * (sums[4 * n + 2 * r] + added.x);
        sums[4 * n + 2 * r + 1] = gamma.y * (sums[4 * n + 2 * r + 1] + added.y);
      }
    }
    auto* const vision = static_cast<T*>(args.vision);
    add_rows(sums, vision, args.stride, row, rows, 0, t);
    store_rows(sums, vision, args.stride, row, rows, 0, t);
  }
#endif
}

// --- launches --------------------------------------------------------------------------------

/// Padded keys and values, and where they and X lie in tiles.
template <class T, int Width>
struct Operands {
  T* keys;
  T* values;
  CUtensorMap x_map, keys_map, values_map;

  Operands(const FusionParams& params, const FusionArgs<T>& args)
      : keys(const_cast<T*>(args.long_keys)),
        values(const_cast<T*>(args.long_values)),
        x_map(map_of(params.vision.data, params.vision.dtype, params.vision.rows, Width,
                     params.vision.stride, kTile)),
        keys_map(map_of(keys, params.vision.dtype, params.hopper.padded_rows, Width, Width, kTile)),
        values_map(
            map_of(values, params.vision.dtype, params.hopper.padded_rows, Width, Width, kTile)) {}
};

template <class T, int Width>
void run_context(Stream stream, const FusionParams& params, const FusionArgs<T>& args) {
  const Operands<T, Width> operands(params, args);
  const HopperFusion& plan = params.hopper;
  launch("fusion pad", pad_kernel<T>,
         dim3{static_cast<unsigned>(ceil_div(plan.max_padded, kPadThreads / kLanes)),
              static_cast<unsigned>(params.sample_count), 1},
         dim3{kPadThreads, 1, 1}, 0, stream,
         PadArgs{args.keys, args.key_bias, args.values, operands.keys, operands.values,
                 plan.padded_bias, params.samples, params.heads});
  launch("fusion context", context_kernel<T, Width>,
         dim3{static_cast<unsigned>(std::min(params.multiprocessors, plan.chunk_count)), 1, 1},
         dim3{(kContextGroups + 1) * kGroupThreads, 1, 1},
         1024 + (kContextGroups + kContextSlots) * kStageBytes<Width> + 256, stream, operands.x_map,
         operands.keys_map,
         ContextArgs{params.samples, plan.chunks, plan.padded_bias, args.partials, plan.chunk_count,
                     params.heads, Width + kPartialHead});
}

template <class T, int Width>
void run_vision(Stream stream, const FusionParams& params, const FusionArgs<T>& args) {
  const Operands<T, Width> operands(params, args);
  launch(
      "fusion vision", hopper_vision_kernel<T, Width>,
      dim3{static_cast<unsigned>(std::min(params.multiprocessors, params.vision_tile_count)), 1, 1},
      dim3{(kVisionGroups + 1) * kGroupThreads, 1, 1},
      1024 + (kVisionGroups + kVisionSlots) * kStageBytes<Width> + 256 +
          kVisionGroups * kHopperFusionHeads * kTile * 4,
      stream, operands.x_map, operands.keys_map, operands.values_map,
      VisionArgs{params.vision.data, params.vision.stride, params.samples, params.vision_tiles,
                 params.hopper.padded_bias, params.gamma, params.output_bias,
                 params.vision_tile_count, params.heads});
}

}  // namespace

bool hopper_fusion_works() { return row_products_work(); }

void launch_hopper_context(Stream stream, const FusionParams& params,
                           const FusionArgs<Half>& args) {
  if (params.vision.cols == 128) return run_context<Half, 128>(stream, params, args);
  run_context<Half, 256>(stream, params, args);
}
void launch_hopper_context(Stream stream, const FusionParams& params,
                           const FusionArgs<BFloat16>& args) {
  if (params.vision.cols == 128) return run_context<BFloat16, 128>(stream, params, args);
  run_context<BFloat16, 256>(stream, params, args);
}
void launch_hopper_vision(Stream stream, const FusionParams& params, const FusionArgs<Half>& args) {
  if (params.vision.cols == 128) return run_vision<Half, 128>(stream, params, args);
  run_vision<Half, 256>(stream, params, args);
}
void launch_hopper_vision(Stream stream, const FusionParams& params,
                          const FusionArgs<BFloat16>& args) {
  if (params.vision.cols == 128) return run_vision<BFloat16, 128>(stream, params, args);
  run_vision<BFloat16, 256>(stream, params, args);
}

#else

bool hopper_fusion_works() { return false; }

// Their math is that of the other kernels, which the emulation runs.
void launch_hopper_context(Stream, const FusionParams&, const FusionArgs<Half>&) {
  emulation::fault("fusion by wgmma is for devices");
}
void launch_hopper_context(Stream, const FusionParams&, const FusionArgs<BFloat16>&) {
  emulation::fault("fusion by wgmma is for devices");
}
void launch_hopper_vision(Stream, const FusionParams&, const FusionArgs<Half>&) {
  emulation::fault("fusion by wgmma is for devices");
}
void launch_hopper_vision(Stream, const FusionParams&, const FusionArgs<BFloat16>&) {
  emulation::fault("fusion by wgmma is for devices");
}

#endif

}  // namespace itemcrop::cuda::kernels
