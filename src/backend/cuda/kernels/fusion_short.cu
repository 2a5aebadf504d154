// Folded fusion of texts whose heads all fit in 64 columns, in one pass over the vision rows: both
// directions need the same normalised rows X and the same scores S = X K^T + bias.
//
// A block of 16 warps, of which a multiprocessor holds one, takes chunks of rows, 64 at a time:
//   X from registers, where the next 64 rows arrive meanwhile, to shared memory
//   S: 16 rows x 16 columns a warp; a head begins at a multiple of 16 columns
//   softmax along the rows gives P, along the columns, with a running maximum, P'
//   context += P'^T X: 32 columns x 32 channels a warp, in registers for the whole chunk
//   rows = X + gamma (P V + bias): 32 rows x 32 channels a warp, whose V stays in registers
// The same without P and the last line sums the context of 64 columns of a long text.
//
// Bytes: vision read and written once; keys and values once a block; 64 (d + 4) floats a chunk.
// Operations: 6 a row, column and channel. 22 KiB of shared memory's bandwidth a row of 256
// channels: more time than the tensor cores or the device's memory need.
#include "backend/cuda/kernels/flash.cuh"
#include "backend/cuda/kernels/fusion.cuh"

namespace itemcrop::cuda::kernels {
namespace {

constexpr int kLanes = static_cast<int>(kWarp);
constexpr int kWarps = 16;
constexpr int kThreads = kWarps * kLanes;
constexpr int kRows = static_cast<int>(kFusionTileRows);
constexpr int kColumns = static_cast<int>(kFusionColumns);
constexpr int kUnit = static_cast<int>(kFusionUnit);
constexpr int kUnits = kColumns / kUnit;
constexpr int kRowGroups = kRows / 16;
constexpr int kShareStride = kColumns + 8;  ///< of 16-bit values: eight rows in different banks
constexpr int kBand = 32;                   ///< channels a warp sums
constexpr float kLog2E = 1.44269504F;       ///< keys and biases are scaled: exp(x) = 2^(x log2(e))
constexpr int kWarpRows = 4;                ///< rows a warp normalises, eight lanes each
static_assert(kRowGroups * kUnits == kWarps && kWarpRows * kWarps == kRows);

template <class T, int Dim>
struct alignas(16) Shared {
  T keys[kColumns * tile_stride<T>(Dim)];
  T x[kRows * tile_stride<T>(Dim)];                                      ///< first: the values
  T shares[kRows * kShareStride];                                        ///< P
  T weights[kRows * kShareStride];                                       ///< P'
  float norm_weight[Dim], norm_bias[Dim], gamma[Dim], output_bias[Dim];  ///< see table_index()
  float bias[kColumns];              ///< -inf where there is no column
  float row_highest[kUnits][kRows];  ///< of a warp's scores
  float row_sums[kUnits][kRows];
  float column_highest[kRowGroups][kColumns];
  float column_sums[kRowGroups][kColumns];
  float corrections[kColumns];
  FusionSample sample;  ///< that of the chunk
};

/// Where channel c lies in a table, so that eight lanes with eight channels each read 16 bytes
/// from different banks.
__device__ inline int table_index(int c) {
  return c / 64 * 64 + c % 8 / 4 * 32 + c % 64 / 8 * 4 + c % 4;
}
/// Channels [c, c + 8) of a table, c a multiple of 8.
__device__ inline void load_channels(const float* table, int c, float (&to)[kVector]) {
  const float* from = table + table_index(c);
  memcpy(to, reinterpret_cast<const float4*>(from), sizeof(float4));
  memcpy(to + 4, reinterpret_cast<const float4*>(from + 32), sizeof(float4));
}

/// This lane's part of a row of `Dim` values that eight lanes hold.
template <class T, int Dim>
struct RowPart {
  static constexpr int kPieces = Dim / 64;
  uint4 pieces[kPieces];

  __device__ static int column(int piece) { return piece * 64 + lane_id() % 8 * kVector; }

  /// Zeros where the row is not `inside`.
  __device__ void load(const T* row, bool inside, bool wide) {
    const T* from = row + column(0);
#pragma unroll
    for (uint4& piece : pieces) piece = {0, 0, 0, 0};
    if (!inside) return;
    if (wide) {
#pragma unroll
      for (int p = 0; p < kPieces; ++p) pieces[p] = *reinterpret_cast<const uint4*>(from + 64 * p);
    } else {
#pragma unroll
      for (int p = 0; p < kPieces; ++p) pieces[p] = load_piece(from, 64 * p, Dim, false);
    }
  }

  /// Rows that were not inside become something finite.
  __device__ void normalise(const RowNorm& norm, const float* weights, const float* biases,
                            T* to) const {
    float values[kPieces][kVector];
    float sum = 0;
#pragma unroll
    for (int p = 0; p < kPieces; ++p) {
      T stored[kVector];
      memcpy(stored, &pieces[p], sizeof(stored));
#pragma unroll
      for (int i = 0; i < kVector; ++i) {
        values[p][i] = to_float(stored[i]);
        sum += values[p][i];
      }
    }
    if (norm.weight != nullptr) {
      const float mean = group_sum<8>(sum) / Dim;
      float squares = 0;
#pragma unroll
      for (int p = 0; p < kPieces; ++p) {
#pragma unroll
        for (int i = 0; i < kVector; ++i) {
          values[p][i] -= mean;
          squares += values[p][i] * values[p][i];
        }
      }
      const float scale = rsqrtf(group_sum<8>(squares) / Dim + norm.epsilon);
#pragma unroll
      for (int p = 0; p < kPieces; ++p) {
        float weight[kVector];
        float bias[kVector];
        load_channels(weights, column(p), weight);
        load_channels(biases, column(p), bias);
#pragma unroll
        for (int i = 0; i < kVector; ++i) {
          values[p][i] = values[p][i] * scale * weight[i] + bias[i];
        }
      }
    }
#pragma unroll
    for (int p = 0; p < kPieces; ++p) store_packed(values[p], to + column(p));
  }
};

/// Highest of the lanes that hold the same column of an accumulator.
__device__ inline float column_max(float x) {
#pragma unroll
  for (int lanes = 4; lanes < kLanes; lanes *= 2) {
    x = fmaxf(x, __shfl_xor_sync(kAllLanes, x, lanes));
  }
  return x;
}
__device__ inline float column_sum(float x) {
#pragma unroll
  for (int lanes = 4; lanes < kLanes; lanes *= 2) x += __shfl_xor_sync(kAllLanes, x, lanes);
  return x;
}

/// Which folded row of its sample lies in which of the 64 columns: heads from multiples of 16 on,
/// or, for the context alone, simply 64 rows from `first` on.
struct Columns {
  int tokens;
  int units;  ///< of one head
  int heads;
  int first;

  __device__ int row(int column) const {
    const int head = column / (units * kUnit);
    const int token = first + column % (units * kUnit);
    return head < heads && token < tokens ? head * tokens + token : -1;
  }
};

/// Keys to shared memory, values to where X will be. A warp's 32 channels of values are permuted so
/// that each lane's sums are of 8 neighbouring ones.
template <class T, int Dim, bool Both>
__device__ inline void load_text(const FusionArgs<T>& args, const FusionSample& sample,
                                 const Columns& columns, Shared<T, Dim>& shared) {
  constexpr int kStride = tile_stride<T>(Dim);
  constexpr int kPieces = Dim / kVector;
  constexpr int kSteps = kColumns * kPieces / kThreads;
  const auto thread = static_cast<int>(threadIdx.x);
  const auto put_key = [&](int column, int c, float(&key)[kVector]) {
#pragma unroll
    for (float& value : key) value *= kLog2E;
    store_packed(key, shared.keys + column * kStride + c);
  };
  const auto put_value = [&](int column, int c, const float(&value)[kVector]) {
    T* to = shared.x + column * kStride + c / kBand * kBand + c % kBand / kVector * 2;
#pragma unroll
    for (int q = 0; q < 4; ++q) store_pair(to + 8 * q, value[2 * q], value[2 * q + 1]);
  };
  const auto copy = [&](const View& from, const auto& put) {
    if (!from.wide) {
#pragma unroll 1
      for (int step = 0; step < kSteps; ++step) {
        const int column = (step * kThreads + thread) / kPieces;
        const int c = (step * kThreads + thread) % kPieces * kVector;
        const int row = columns.row(column);
        float values[kVector] = {};
        if (row >= 0) load_typed<float>(from, sample.folded.begin + row, c, values);
        put(column, c, values);
      }
      return;
    }
    // All loads before the first is needed.
    float values[kSteps][kVector] = {};
#pragma unroll
    for (int step = 0; step < kSteps; ++step) {
      const int row = columns.row((step * kThreads + thread) / kPieces);
      const int c = (step * kThreads + thread) % kPieces * kVector;
      if (row < 0) continue;
      load_packed(
          static_cast<const float*>(from.data) + (sample.folded.begin + row) * from.stride + c,
          values[step]);
    }
#pragma unroll
    for (int step = 0; step < kSteps; ++step) {
      const int i = step * kThreads + thread;
      put(i / kPieces, i % kPieces * kVector, values[step]);
    }
  };
  copy(args.keys, put_key);
  if constexpr (Both) copy(args.values, put_value);
  if (thread < kColumns) {
    const int row = columns.row(thread);
    const auto* const biases = static_cast<const float*>(args.key_bias.data);
    shared.bias[thread] =
        row < 0 ? -INFINITY : biases[(sample.folded.begin + row) * args.key_bias.stride] * kLog2E;
  }
}

/// Both: of short texts, both directions. Otherwise 64 columns' context only, of long texts.
template <class T, int Dim, bool Both>
__global__ void __launch_bounds__(kThreads, 1)
    chunk_kernel(FusionArgs<T> args, int chunks_per_block) {
  await_predecessor();
  constexpr int kStride = tile_stride<T>(Dim);
  auto& shared = *reinterpret_cast<Shared<T, Dim>*>(dynamic_shared());
  const auto thread = static_cast<int>(threadIdx.x);
  const int warp = thread / kLanes;
  const int g = lane_id() / 4;
  const int t = lane_id() % 4;
  // Of the scores:
  const int unit = warp % kUnits;
  const int group = warp / kUnits;
  // Of both sums:
  const int band = warp % 8 * kBand;
  const int half = warp / 8 * 32;
  // Of the rows to normalise:
  const int own_row = warp * kWarpRows + lane_id() / 8;

  for (int c = thread; c < Dim; c += kThreads) {
    const int at = table_index(c);
    if (args.norm.weight != nullptr) {
      shared.norm_weight[at] = args.norm.weight[c];
      shared.norm_bias[at] = args.norm.bias[c];
    }
    shared.gamma[at] = args.gamma[c];
    shared.output_bias[at] = args.output_bias[c];
  }

  int chunk = static_cast<int>(blockIdx.x) * chunks_per_block;
  const int end = min(chunk + chunks_per_block, args.tile_count);
  if (chunk >= end) return;
  Tile tile = args.tiles[chunk];
  const std::int64_t stride = args.vision.stride;
  T* rows = args.vision.data + (args.samples[tile.segment].vision.begin + tile.begin) * stride;
  RowPart<T, Dim> arriving;
  arriving.load(rows + own_row * stride, own_row < tile.rows, args.vision.wide);

  int segment = -1;
  Columns columns{};
  FragmentB<T> values[kColumns / 16][kBand / 8];
  while (tile.rows > 0) {
    if (tile.segment != segment) {
      segment = tile.segment;
      const FusionSample& sample = args.samples[segment];
      if (thread == 0) shared.sample = sample;
      if constexpr (Both) {
        const int tokens = static_cast<int>(sample.folded.rows) / args.heads;
        columns = {tokens, max(1, (tokens + kUnit - 1) / kUnit), args.heads, 0};
      } else {
        columns = {static_cast<int>(sample.folded.rows), kUnits, 1,
                   static_cast<int>(blockIdx.y) * kColumns};
        // Another sample's text is longer.
        if (columns.first >= columns.tokens) {
          do {
            tile = ++chunk < end ? args.tiles[chunk] : Tile{};
          } while (tile.rows > 0 && tile.segment == segment);
          rows = args.vision.data + (args.samples[tile.segment].vision.begin + tile.begin) * stride;
          arriving.load(rows + own_row * stride, own_row < tile.rows, args.vision.wide);
          continue;
        }
      }
      load_text<T, Dim, Both>(args, sample, columns, shared);
      __syncthreads();
      if (Both && band < Dim) {
#pragma unroll
        for (int k = 0; k < kColumns / 16; ++k) {
#pragma unroll
          for (int n = 0; n < kBand / 8; n += 2) {
            FragmentB<T> two[2];
            load_b_rows(two, shared.x + 16 * k * kStride + band + 8 * n, kStride);
            values[k][n] = two[0];
            values[k][n + 1] = two[1];
          }
        }
      }
      __syncthreads();
    }

    float context[2][kBand / 8][4];
#pragma unroll
    for (int m = 0; m < 2; ++m) {
#pragma unroll
      for (int n = 0; n < kBand / 8; ++n) {
#pragma unroll
        for (int i = 0; i < 4; ++i) context[m][n][i] = 0;
      }
    }
    // Of columns 16 unit + 8 n + 2 t + j, at 2 n + j; sums over this lane's rows only.
    float highest[4];
    float sums[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      highest[i] = -INFINITY;
      sums[i] = 0;
    }

    Tile next;
    T* next_rows = nullptr;
    for (int first = 0; first < tile.rows; first += kRows) {
      const int count = tile.rows - first;
      arriving.normalise(args.norm, shared.norm_weight, shared.norm_bias,
                         shared.x + own_row * kStride);
      // The next 64 rows, of this chunk or the next one.
      const T* coming = rows + (first + kRows) * stride;
      int coming_rows = count - kRows;
      if (count <= kRows) {
        next = chunk + 1 < end ? args.tiles[chunk + 1] : Tile{};
        next_rows =
            args.vision.data + (args.samples[next.segment].vision.begin + next.begin) * stride;
        coming = next_rows;
        coming_rows = next.rows;
      }
      arriving.load(coming + own_row * stride, own_row < coming_rows, args.vision.wide);
      __syncthreads();

      // Scores; exponentials relative to the highest of the warp's part of each row.
      float scores[2][4];
      float powers[2][4];
      multiply_keys<T, Dim, 16>(scores, shared.x + 16 * group * kStride,
                                shared.keys + 16 * unit * kStride);
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const float bias = shared.bias[16 * unit + 8 * (i / 2) + 2 * t + i % 2];
        scores[i / 2][i % 2] += bias;
        scores[i / 2][2 + i % 2] += bias;
      }
#pragma unroll
      for (int r = 0; r < 2; ++r) {
        const int row = 16 * group + g + 8 * r;
        if constexpr (Both) {
          const float most = group_max<4>(fmaxf(fmaxf(scores[0][2 * r], scores[0][2 * r + 1]),
                                                fmaxf(scores[1][2 * r], scores[1][2 * r + 1])));
          const float origin = origin_of(most);
          float sum = 0;
#pragma unroll
          for (int i = 0; i < 4; ++i) {
            float& power = powers[i / 2][2 * r + i % 2];
            power = power_of_two(scores[i / 2][2 * r + i % 2] - origin);
            sum += power;
          }
          sum = group_sum<4>(sum);
          if (t == 0) {
            shared.row_highest[unit][row] = most;
            shared.row_sums[unit][row] = sum;
          }
        }
        // From here on for the columns.
        if (row >= count) {
#pragma unroll
          for (int i = 0; i < 4; ++i) scores[i / 2][2 * r + i % 2] = -INFINITY;
        }
      }
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const float most = column_max(fmaxf(scores[i / 2][i % 2], scores[i / 2][2 + i % 2]));
        if (g == 0) shared.column_highest[group][16 * unit + 8 * (i / 2) + 2 * t + i % 2] = most;
      }
      __syncthreads();

      // P. Where a head has several units, their origins differ.
#pragma unroll
      for (int r = 0; r < (Both ? 2 : 0); ++r) {
        const int row = 16 * group + g + 8 * r;
        float total = shared.row_sums[unit][row];
        if (columns.units > 1) {
          const int begin = unit / columns.units * columns.units;
          const int end_unit = min(begin + columns.units, kUnits);
          const float own = shared.row_highest[unit][row];
          total = 0;
          for (int u = begin; u < end_unit; ++u) {
            // May be infinite; then this unit's share is 0.
            total +=
                shared.row_sums[u][row] * power_of_two(shared.row_highest[u][row] - origin_of(own));
          }
        }
        const float share = total > 0 ? 1.0F / total : 0.0F;
#pragma unroll
        for (int n = 0; n < 2; ++n) {
          store_pair(shared.shares + row * kShareStride + 16 * unit + 8 * n + 2 * t,
                     powers[n][2 * r] * share, powers[n][2 * r + 1] * share);
        }
      }
      // P'.
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int column = 16 * unit + 8 * (i / 2) + 2 * t + i % 2;
        float most = highest[i];
#pragma unroll
        for (int other = 0; other < kRowGroups; ++other) {
          most = fmaxf(most, shared.column_highest[other][column]);
        }
        const float origin = origin_of(most);
        const float correction = power_of_two(highest[i] - origin);
        highest[i] = most;
        float& upper = scores[i / 2][i % 2];
        float& lower = scores[i / 2][2 + i % 2];
        upper = power_of_two(upper - origin);
        lower = power_of_two(lower - origin);
        sums[i] = sums[i] * correction + (upper + lower);
        if (group == 0 && g == 0) shared.corrections[column] = correction;
      }
#pragma unroll
      for (int r = 0; r < 2; ++r) {
#pragma unroll
        for (int n = 0; n < 2; ++n) {
          store_pair(
              shared.weights + (16 * group + g + 8 * r) * kShareStride + 16 * unit + 8 * n + 2 * t,
              scores[n][2 * r], scores[n][2 * r + 1]);
        }
      }
      __syncthreads();

      if (band < Dim) {
#pragma unroll
        for (int m = 0; m < 2; ++m) {
#pragma unroll
          for (int r = 0; r < 2; ++r) {
            const float correction = shared.corrections[half + 16 * m + g + 8 * r];
#pragma unroll
            for (int n = 0; n < kBand / 8; ++n) {
              context[m][n][2 * r] *= correction;
              context[m][n][2 * r + 1] *= correction;
            }
          }
        }
#pragma unroll
        for (int k = 0; k < kRows; k += 16) {
          FragmentA<T> a[2];
#pragma unroll
          for (int m = 0; m < 2; ++m) {
            load_a_columns(a[m], shared.weights + k * kShareStride + half + 16 * m, kShareStride);
          }
#pragma unroll
          for (int n = 0; n < kBand / 8; n += 2) {
            FragmentB<T> b[2];
            load_b_rows(b, shared.x + k * kStride + band + 8 * n, kStride);
#pragma unroll
            for (int m = 0; m < 2; ++m) {
              multiply(context[m][n], a[m], b[0]);
              multiply(context[m][n + 1], a[m], b[1]);
            }
          }
        }

        const int c = band + 8 * t;
#pragma unroll
        for (int m = 0; m < (Both ? 2 : 0); ++m) {
          float totals[kBand / 8][4];
#pragma unroll
          for (int n = 0; n < kBand / 8; ++n) {
#pragma unroll
            for (int i = 0; i < 4; ++i) totals[n][i] = 0;
          }
#pragma unroll
          for (int k = 0; k < kColumns / 16; ++k) {
            FragmentA<T> a;
            load_a(a, shared.shares + (half + 16 * m) * kShareStride + 16 * k, kShareStride);
#pragma unroll
            for (int n = 0; n < kBand / 8; ++n) multiply(totals[n], a, values[k][n]);
          }
          float gamma[kVector];
          float bias[kVector];
          load_channels(shared.gamma, c, gamma);
          load_channels(shared.output_bias, c, bias);
#pragma unroll
          for (int r = 0; r < 2; ++r) {
            const int row = half + 16 * m + g + 8 * r;
            if (row >= count) continue;
            float result[kVector];
            load_packed(shared.x + row * kStride + c, result);
#pragma unroll
            for (int i = 0; i < kVector; ++i) {
              result[i] += gamma[i] * (totals[i / 2][2 * r + i % 2] + bias[i]);
            }
            T* to = rows + (first + row) * stride + c;
            if (args.vision.wide) {
              store_packed(result, to);
            } else {
#pragma unroll
              for (int i = 0; i < kVector; ++i) from_float(result[i], to[i]);
            }
          }
        }
      }
      __syncthreads();
    }

    // The chunk's sums. Past the barrier the next chunk's sample may come.
    const FusionSample sample = shared.sample;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int column = 16 * unit + 8 * (i / 2) + 2 * t + i % 2;
      const float sum = column_sum(sums[i]);
      if (g == 0) shared.column_sums[group][column] = sum;
      if (group == 0 && g == 0) shared.column_highest[0][column] = highest[i];
    }
    __syncthreads();
    const std::int64_t number = tile.begin / sample.chunk_rows;
    if (thread < kColumns && columns.row(thread) >= 0) {
      float sum = 0;
#pragma unroll
      for (int other = 0; other < kRowGroups; ++other) sum += shared.column_sums[other][thread];
      float* to = args.partial(sample, number, columns.row(thread));
      to[0] = shared.column_highest[0][thread] / kLog2E;
      to[1] = sum;
    }
    tile = next;
    rows = next_rows;
    ++chunk;
    if (band >= Dim) continue;
#pragma unroll
    for (int m = 0; m < 2; ++m) {
#pragma unroll
      for (int r = 0; r < 2; ++r) {
        const int row = columns.row(half + 16 * m + g + 8 * r);
        if (row < 0) continue;
        float* to = args.partial(sample, number, row) + kPartialHead + band + 2 * t;
#pragma unroll
        for (int n = 0; n < kBand / 8; ++n) {
          *reinterpret_cast<float2*>(to + 8 * n) = {context[m][n][2 * r], context[m][n][2 * r + 1]};
        }
      }
    }
  }
}

template <bool Both, class T, int Dim>
void run(Stream stream, const FusionArgs<T>& args, std::int64_t groups) {
  // A block keeps its keys and values for all its chunks.
  const std::int64_t chunks = ceil_div(args.tile_count * groups, args.multiprocessors);
  launch(Both ? "fusion short" : "fusion context", chunk_kernel<T, Dim, Both>,
         dim3{static_cast<unsigned>(ceil_div(args.tile_count, chunks)),
              static_cast<unsigned>(groups), 1},
         dim3{kThreads, 1, 1}, sizeof(Shared<T, Dim>), stream, args, static_cast<int>(chunks));
}

template <bool Both, class T>
void dispatch(Stream stream, const FusionArgs<T>& args, std::int64_t groups) {
  switch (args.vision.cols) {
    case 64:
      return run<Both, T, 64>(stream, args, groups);
    case 128:
      return run<Both, T, 128>(stream, args, groups);
    case 192:
      return run<Both, T, 192>(stream, args, groups);
    default:
      return run<Both, T, 256>(stream, args, groups);
  }
}

}  // namespace

void launch_short_fusion(Stream stream, const FusionArgs<Half>& args) {
  dispatch<true>(stream, args, 1);
}
void launch_short_fusion(Stream stream, const FusionArgs<BFloat16>& args) {
  dispatch<true>(stream, args, 1);
}
void launch_chunk_context(Stream stream, const FusionArgs<Half>& args, std::int64_t columns) {
  dispatch<false>(stream, args, ceil_div(columns, kFusionColumns));
}
void launch_chunk_context(Stream stream, const FusionArgs<BFloat16>& args, std::int64_t columns) {
  dispatch<false>(stream, args, ceil_div(columns, kFusionColumns));
}

}  // namespace itemcrop::cuda::kernels
