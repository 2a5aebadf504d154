// Similarity of queries to text, and the best rows by score.
#include "backend/cuda/kernels/device.cuh"
#include "backend/cuda/kernels/selection.h"

namespace itemcrop::cuda::kernels {
namespace {

// --- similarity ------------------------------------------------------------------------------

constexpr int kThreads = 256;
constexpr int kRows = static_cast<int>(kSimilarityTileRows);
constexpr int kTokens = 32;           ///< tokens at a time
constexpr int kDepth = 32;            ///< channels at a time
constexpr int kStride = kDepth + 4;   ///< rows start in different banks
constexpr int kAcross = kTokens / 2;  ///< threads across; each has tokens a and a + 16
constexpr int kRowsEach = kRows / (kThreads / kAcross);

struct SimilarityArgs {
  View x, text, y;
  const Segment* segments;
  const Segment* text_segments;
  const Tile* tiles;
  float scale, bias;
};

struct alignas(16) Four {
  float v[4];
};

/// Rows of a chunk of channels to shared memory; zeros past the last row and channel.
__device__ inline void copy_channels(const View& from, std::int64_t first, int count, int rows,
                                     int channel, float* to) {
  constexpr int kVectors = kDepth / kVector;
  for (int i = static_cast<int>(threadIdx.x); i < rows * kVectors; i += kThreads) {
    const int r = i / kVectors;
    const int c = i % kVectors * kVector;
    float values[kVector] = {};
    if (r < count && channel + c < from.cols) load_vector(from, first + r, channel + c, values);
    store_packed(values, to + r * kStride + c);
  }
}

/// 64 rows by 32 tokens a block at a time, in fp32 throughout: logits decide ranks and scores.
/// `Highest`: all tokens by one block and only the highest similarity is written.
/// Bytes: x once for every 32 tokens. Operations: 2 a row, token (rounded up to 32) and channel.
template <bool Highest>
__global__ void __launch_bounds__(kThreads) similarity_kernel(SimilarityArgs args) {
  await_predecessor();
  __shared__ Four x_tile[kRows * kStride / 4];
  __shared__ Four text_tile[kTokens * kStride / 4];
  const Tile tile = args.tiles[blockIdx.x];
  if (tile.rows == 0) return;
  const std::int64_t first_row = args.segments[tile.segment].begin + tile.begin;
  const Segment text = args.text_segments[tile.segment];
  const auto tokens = static_cast<int>(text.rows);
  const int across = static_cast<int>(threadIdx.x) % kAcross;
  const int down = static_cast<int>(threadIdx.x) / kAcross * kRowsEach;
  float highest[kRowsEach];
#pragma unroll
  for (int r = 0; r < kRowsEach; ++r) highest[r] = -INFINITY;

  const int begin = Highest ? 0 : static_cast<int>(blockIdx.y) * kTokens;
  const int end = Highest ? tokens : begin + kTokens;
  for (int first = begin; first < end; first += kTokens) {
    const int count = tokens - first < kTokens ? tokens - first : kTokens;
    float sums[kRowsEach][2] = {};
    for (int channel = 0; channel < args.x.cols && count > 0; channel += kDepth) {
      __syncthreads();
      copy_channels(args.x, first_row, tile.rows, kRows, channel, x_tile->v);
      copy_channels(args.text, text.begin + first, count, kTokens, channel, text_tile->v);
      __syncthreads();
#pragma unroll
      for (int k = 0; k < kDepth / 4; ++k) {
        const Four left = text_tile[across * (kStride / 4) + k];
        const Four right = text_tile[(across + kAcross) * (kStride / 4) + k];
#pragma unroll
        for (int r = 0; r < kRowsEach; ++r) {
          const Four row = x_tile[(down + r) * (kStride / 4) + k];
#pragma unroll
          for (int i = 0; i < 4; ++i) {
            sums[r][0] += row.v[i] * left.v[i];
            sums[r][1] += row.v[i] * right.v[i];
          }
        }
      }
    }
#pragma unroll
    for (int r = 0; r < kRowsEach; ++r) {
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const int token = across + i * kAcross;
        const float similarity = token < count ? args.scale * sums[r][i] + args.bias : -INFINITY;
        if (Highest) {
          // As std::max with the candidate second: NaN never wins.
          highest[r] = similarity > highest[r] ? similarity : highest[r];
        } else if (down + r < tile.rows && first + token < args.y.cols) {
          static_cast<float*>(args.y.data)[(first_row + down + r) * args.y.stride + first + token] =
              similarity;
        }
      }
    }
  }
  if (Highest) {
#pragma unroll
    for (int r = 0; r < kRowsEach; ++r) {
      const float best = group_max<kAcross>(highest[r]);
      if (across == 0 && down + r < tile.rows) {
        static_cast<float*>(args.y.data)[(first_row + down + r) * args.y.stride] = best;
      }
    }
  }
}

SimilarityArgs arguments_of(const SimilarityParams& params) {
  return {view_of(params.x),    view_of(params.text), view_of(params.y), params.segments,
          params.text_segments, params.tiles,         params.scale,      params.bias};
}

// --- top-k -----------------------------------------------------------------------------------

constexpr int kSortThreads = 1024;
constexpr int kDigits = 256;
constexpr int kCopies = 8;  ///< of the histogram, so that fewer lanes add to one place
constexpr int kAtOnce = 8;  ///< scores of a thread on their way
constexpr std::int64_t kHistogramBytes = kCopies * kDigits * 4 + 64;

using Key = unsigned long long;

struct TopKArgs {
  const float* scores;
  std::int64_t stride;
  const TopKSegment* segments;
  std::int32_t* y;
  std::int64_t y_stride;
  int sorted;  ///< entries to sort: a power of two
  int kept;    ///< scores for which there is room in shared memory
};

/// Grows with the score. NaN counts as -inf, -0 as 0.
__device__ inline std::uint32_t ordered(float score) {
  // Written so that NaN takes the second branch.
  const float number = score > -INFINITY ? score + 0.0F : -INFINITY;
  const std::uint32_t bits = __float_as_uint(number);
  return (bits & 0x80000000U) != 0 ? ~bits : bits | 0x80000000U;
}

/// Grows with the score and, for equal scores, falls with the row.
__device__ inline Key key_of(std::uint32_t score, std::uint32_t row) {
  return static_cast<Key>(score) << 32 | (0xFFFFFFFFU - row);
}

/// One segment a block. The smallest wanted key digit by digit from the top (keys are distinct, so
/// exactly `count` keys reach it), then a bitonic sort of those.
/// Bytes: scores once if there is room to keep them, otherwise 5 to 8 times. A pass over scores in
/// memory is one wait after another, since counting lies between.
__global__ void __launch_bounds__(kSortThreads) top_k_kernel(TopKArgs args) {
  await_predecessor();
  __shared__ int histogram[kCopies * kDigits];
  __shared__ int digit_found;
  __shared__ int wanted_left;
  __shared__ int taken;
  const TopKSegment segment = args.segments[blockIdx.x];
  if (segment.count == 0) return;
  const int thread = static_cast<int>(threadIdx.x);
  const auto rows = static_cast<int>(segment.rows.rows);
  auto* const entries = reinterpret_cast<Key*>(dynamic_shared());
  auto* const kept = reinterpret_cast<std::uint32_t*>(entries + args.sorted);
  const float* const scores = args.scores + segment.rows.begin * args.stride;
  const bool keeps = rows <= args.kept;
  const auto key_at = [&](int i) {
    const std::uint32_t score = keeps ? kept[i] : ordered(scores[i * args.stride]);
    return key_of(score, static_cast<std::uint32_t>(i));
  };
  // Read by those who wrote them until the next barrier.
  for (int first = thread; keeps && first < rows; first += kAtOnce * kSortThreads) {
    float some[kAtOnce];
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      const int row = first + i * kSortThreads;
      some[i] = row < rows ? scores[row * args.stride] : 0.0F;
    }
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      const int row = first + i * kSortThreads;
      if (row < rows) kept[row] = ordered(some[i]);
    }
  }

  Key threshold = 0;
  int wanted = static_cast<int>(segment.count);
  for (int shift = 56; shift >= 0; shift -= 8) {
    if (shift < 32 && static_cast<std::uint32_t>(rows - 1) >> shift == 0) {
      threshold |= static_cast<Key>(kDigits - 1) << shift;  // the digit of every row
      continue;
    }
    for (int i = thread; i < kCopies * kDigits; i += kSortThreads) histogram[i] = 0;
    __syncthreads();
    for (int i = thread; i < rows; i += kSortThreads) {
      const Key key = key_at(i);
      if (shift < 56 && (key ^ threshold) >> (shift + 8) != 0) continue;
      const auto digit = static_cast<int>(key >> shift & (kDigits - 1));
      atomicAdd(&histogram[thread % kCopies * kDigits + digit], 1);
    }
    __syncthreads();
    if (thread < static_cast<int>(kWarp)) {
      // Eight digits a lane, highest first.
      constexpr int kEach = kDigits / static_cast<int>(kWarp);
      int counts[kEach];
      int sum = 0;
#pragma unroll
      for (int i = 0; i < kEach; ++i) {
        counts[i] = 0;
        for (int copy = 0; copy < kCopies; ++copy) {
          counts[i] += histogram[copy * kDigits + kDigits - 1 - (thread * kEach + i)];
        }
        sum += counts[i];
      }
      int reached = sum;
#pragma unroll
      for (unsigned lanes = 1; lanes < kWarp; lanes *= 2) {
        const int more = __shfl_up_sync(kAllLanes, reached, lanes);
        if (thread >= static_cast<int>(lanes)) reached += more;
      }
      int before = reached - sum;
      if (before < wanted && wanted <= reached) {
#pragma unroll
        for (int i = 0; i < kEach; ++i) {
          if (before < wanted && wanted <= before + counts[i]) {
            digit_found = kDigits - 1 - (thread * kEach + i);
            wanted_left = wanted - before;
          }
          before += counts[i];
        }
      }
    }
    __syncthreads();
    threshold |= static_cast<Key>(digit_found) << shift;
    wanted = wanted_left;
  }

  if (thread == 0) taken = 0;
  for (int i = thread; i < args.sorted; i += kSortThreads) entries[i] = 0;
  __syncthreads();
  for (int i = thread; i < rows; i += kSortThreads) {
    const Key key = key_at(i);
    if (key >= threshold) entries[atomicAdd(&taken, 1)] = key;
  }
  for (int size = 2; size <= args.sorted; size *= 2) {
    for (int step = size / 2; step > 0; step /= 2) {
      __syncthreads();
      for (int i = thread; i < args.sorted / 2; i += kSortThreads) {
        const int low = i / step * (2 * step) + i % step;
        const int high = low + step;
        const bool descending = (low & size) == 0;
        const Key a = entries[low];
        const Key b = entries[high];
        if ((a < b) == descending) {
          entries[low] = b;
          entries[high] = a;
        }
      }
    }
  }
  __syncthreads();
  for (int i = thread; i < segment.count; i += kSortThreads) {
    const std::uint32_t row = 0xFFFFFFFFU - static_cast<std::uint32_t>(entries[i] & 0xFFFFFFFFU);
    args.y[(segment.output + i) * args.y_stride] =
        static_cast<std::int32_t>(segment.rows.begin + row);
  }
}

}  // namespace

void launch_similarity(Stream stream, const SimilarityParams& params) {
  if (params.tile_count == 0 || params.y.cols == 0) return;
  launch("similarity", similarity_kernel<false>,
         dim3{static_cast<unsigned>(params.tile_count),
              static_cast<unsigned>(ceil_div(params.y.cols, kTokens)), 1},
         dim3{kThreads, 1, 1}, 0, stream, arguments_of(params));
}

void launch_max_similarity(Stream stream, const SimilarityParams& params) {
  if (params.tile_count == 0) return;
  launch("max_similarity", similarity_kernel<true>,
         dim3{static_cast<unsigned>(params.tile_count), 1, 1}, dim3{kThreads, 1, 1}, 0, stream,
         arguments_of(params));
}

void launch_top_k(Stream stream, const TopKParams& params) {
  if (params.segment_count == 0 || params.most == 0) return;
  int sorted = 2;
  while (sorted < params.most) sorted *= 2;
  const auto key_bytes = static_cast<std::int64_t>(sorted) * static_cast<std::int64_t>(sizeof(Key));
  const std::int64_t room =
      std::max<std::int64_t>(0, params.shared_bytes - kHistogramBytes - key_bytes);
  const auto kept = std::min<std::int64_t>(params.scores.rows, room / 4);
  const TopKArgs args{static_cast<const float*>(params.scores.data),
                      params.scores.stride,
                      params.segments,
                      static_cast<std::int32_t*>(params.y.data),
                      params.y.stride,
                      sorted,
                      static_cast<int>(kept)};
  launch("top_k", top_k_kernel, dim3{static_cast<unsigned>(params.segment_count), 1, 1},
         dim3{kSortThreads, 1, 1}, static_cast<std::size_t>(key_bytes + kept * 4), stream, args);
}

}  // namespace itemcrop::cuda::kernels
