// Folded fusion of texts whose heads all fit in 64 columns, in one pass over the vision rows: both
// directions need the same normalised rows X and the same scores S = X K^T + bias.
//
// A block of 16 warps takes chunks of rows, 64 rows at a time:
//   X from registers, where the next 64 rows arrive meanwhile, to shared memory
//   S: 16 rows x 16 columns a warp; a head begins at a multiple of 16 columns
//   softmax along the rows gives P, along the columns, with a running maximum, P'
//   context += P'^T X: 32 columns x 32 channels a warp, in registers for the whole chunk
//   rows = X + gamma (P V + bias): 32 rows x 32 channels a warp, whose V stays in registers
//
// Bytes: vision read and written once; keys and values once a block; 64 (d + 4) floats a chunk.
// Operations: 6 a row, column and channel. Shared memory is what limits: 4 KiB go through it for
// each row.
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

  __device__ void load(const Block<T>& x, std::int64_t row, bool inside) {
#pragma unroll
    for (int p = 0; p < kPieces; ++p) {
      pieces[p] = inside ? load_piece(x.data + row * x.stride, column(p), x.cols, x.wide)
                         : uint4{0, 0, 0, 0};
    }
  }

  /// Zeros where a row is not `inside` and past `cols`.
  __device__ void normalise(int cols, bool inside, const RowNorm& norm, const float* weights,
                            const float* biases, T* to) const {
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
      const float mean = group_sum<8>(sum) / static_cast<float>(cols);
      float squares = 0;
#pragma unroll
      for (int p = 0; p < kPieces; ++p) {
        const int left = cols - column(p);
#pragma unroll
        for (int i = 0; i < kVector; ++i) {
          values[p][i] -= mean;
          if (i < left) squares += values[p][i] * values[p][i];
        }
      }
      const float variance = group_sum<8>(squares) / static_cast<float>(cols);
      const float scale = inside ? 1.0F / sqrtf(variance + norm.epsilon) : 0.0F;
#pragma unroll
      for (int p = 0; p < kPieces; ++p) {
        float weight[kVector];
        float bias[kVector];
        load_channels(weights, column(p), weight);
        load_channels(biases, column(p), bias);
#pragma unroll
        for (int i = 0; i < kVector; ++i) {
          values[p][i] = values[p][i] * scale * weight[i] + (inside ? bias[i] : 0.0F);
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

/// 0 instead of -inf: where all is masked so far, exp() must give zeros.
__device__ inline float origin_of(float highest) { return highest == -INFINITY ? 0.0F : highest; }

/// Which folded row of its sample lies in which of the 64 columns.
struct Columns {
  int tokens;
  int units;  ///< of one head
  int heads;

  __device__ int row(int column) const {
    const int head = column / (units * kUnit);
    const int token = column % (units * kUnit);
    return head < heads && token < tokens ? head * tokens + token : -1;
  }
};

/// Keys to shared memory, values to where X will be. A warp's 32 channels of values are permuted so
/// that each lane's sums are of 8 neighbouring ones.
template <class T, int Dim>
__device__ inline void load_text(const FusionArgs<T>& args, const FusionSample& sample,
                                 const Columns& columns, Shared<T, Dim>& shared) {
  constexpr int kStride = tile_stride<T>(Dim);
  constexpr int kPieces = Dim / kVector;
  constexpr int kSteps = kColumns * kPieces / kThreads;
  const auto thread = static_cast<int>(threadIdx.x);
#pragma unroll
  for (int step = 0; step < kSteps; ++step) {
    const int i = step * kThreads + thread;
    const int column = i / kPieces;
    const int c = i % kPieces * kVector;
    const int row = columns.row(column);
    float key[kVector] = {};
    float value[kVector] = {};
    if (row >= 0 && c < args.vision.cols) {
      load_typed<float>(args.keys, sample.folded.begin + row, c, key);
      load_typed<float>(args.values, sample.folded.begin + row, c, value);
    }
    store_packed(key, shared.keys + column * kStride + c);
    T* to = shared.x + column * kStride + c / kBand * kBand + c % kBand / kVector * 2;
#pragma unroll
    for (int q = 0; q < 4; ++q) store_pair(to + 8 * q, value[2 * q], value[2 * q + 1]);
  }
  if (thread < kColumns) {
    const int row = columns.row(thread);
    shared.bias[thread] =
        row < 0 ? -INFINITY
                : static_cast<const float*>(
                      args.key_bias.data)[(sample.folded.begin + row) * args.key_bias.stride];
  }
}

template <class T, int Dim>
__global__ void __launch_bounds__(kThreads, 1)
    short_kernel(FusionArgs<T> args, int chunks_per_block) {
  constexpr int kStride = tile_stride<T>(Dim);
  auto& shared = *reinterpret_cast<Shared<T, Dim>*>(dynamic_shared());
  const auto thread = static_cast<int>(threadIdx.x);
  const int warp = thread / kLanes;
  const int g = lane_id() / 4;
  const int t = lane_id() % 4;
  const int cols = args.vision.cols;
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
    const bool inside = c < cols;
    const bool normal = inside && args.norm.weight != nullptr;
    shared.norm_weight[at] = normal ? args.norm.weight[c] : 0.0F;
    shared.norm_bias[at] = normal ? args.norm.bias[c] : 0.0F;
    shared.gamma[at] = inside ? args.gamma[c] : 0.0F;
    shared.output_bias[at] = inside ? args.output_bias[c] : 0.0F;
  }

  int chunk = static_cast<int>(blockIdx.x) * chunks_per_block;
  const int end = min(chunk + chunks_per_block, args.tile_count);
  RowPart<T, Dim> arriving;
  const auto load_rows = [&](const Tile& tile, int first) {
    const int row = first + own_row;
    arriving.load(args.vision, args.samples[tile.segment].vision.begin + tile.begin + row,
                  row < tile.rows);
  };
  if (chunk < end) load_rows(args.tiles[chunk], 0);

  int segment = -1;
  Columns columns{};
  FragmentB<T> values[kColumns / 16][kBand / 8];
  for (; chunk < end; ++chunk) {
    const Tile tile = args.tiles[chunk];
    if (tile.rows == 0) return;
    const FusionSample& sample = args.samples[tile.segment];
    if (tile.segment != segment) {
      segment = tile.segment;
      const int tokens = static_cast<int>(sample.folded.rows) / args.heads;
      columns = {tokens, max(1, (tokens + kUnit - 1) / kUnit), args.heads};
      load_text(args, sample, columns, shared);
      __syncthreads();
      if (band < Dim) {
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

    for (int first = 0; first < tile.rows; first += kRows) {
      const int count = tile.rows - first;
      arriving.normalise(cols, own_row < count, args.norm, shared.norm_weight, shared.norm_bias,
                         shared.x + own_row * kStride);
      if (first + kRows < tile.rows) {
        load_rows(tile, first + kRows);
      } else if (chunk + 1 < end) {
        load_rows(args.tiles[chunk + 1], 0);
      }
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
        const float most = group_max<4>(fmaxf(fmaxf(scores[0][2 * r], scores[0][2 * r + 1]),
                                              fmaxf(scores[1][2 * r], scores[1][2 * r + 1])));
        const float origin = origin_of(most);
        float sum = 0;
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          float& power = powers[i / 2][2 * r + i % 2];
          power = __expf(scores[i / 2][2 * r + i % 2] - origin);
          sum += power;
        }
        sum = group_sum<4>(sum);
        const int row = 16 * group + g + 8 * r;
        if (t == 0) {
          shared.row_highest[unit][row] = most;
          shared.row_sums[unit][row] = sum;
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

      // P: a head's units have different origins.
      const int first_unit = unit / columns.units * columns.units;
      const int last_unit = min(first_unit + columns.units, kUnits);
#pragma unroll
      for (int r = 0; r < 2; ++r) {
        const int row = 16 * group + g + 8 * r;
        float most = -INFINITY;
        for (int u = first_unit; u < last_unit; ++u) most = fmaxf(most, shared.row_highest[u][row]);
        const float origin = origin_of(most);
        float sum = 0;
        for (int u = first_unit; u < last_unit; ++u) {
          sum += shared.row_sums[u][row] * __expf(shared.row_highest[u][row] - origin);
        }
        const float share = sum > 0 ? __expf(shared.row_highest[unit][row] - origin) / sum : 0.0F;
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
        const float correction = __expf(highest[i] - origin);
        highest[i] = most;
        float& upper = scores[i / 2][i % 2];
        float& lower = scores[i / 2][2 + i % 2];
        upper = __expf(upper - origin);
        lower = __expf(lower - origin);
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
        for (int m = 0; m < 2; ++m) {
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
            if (row >= count || c >= cols) continue;
            float result[kVector];
            load_packed(shared.x + row * kStride + c, result);
#pragma unroll
            for (int i = 0; i < kVector; ++i) {
              result[i] += gamma[i] * (totals[i / 2][2 * r + i % 2] + bias[i]);
            }
            T* to = args.vision.data +
                    (sample.vision.begin + tile.begin + first + row) * args.vision.stride + c;
            if (args.vision.wide && c + kVector <= cols) {
              store_packed(result, to);
            } else {
#pragma unroll
              for (int i = 0; i < kVector; ++i) {
                if (c + i < cols) from_float(result[i], to[i]);
              }
            }
          }
        }
      }
      __syncthreads();
    }

    // The chunk's sums.
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
      to[0] = shared.column_highest[0][thread];
      to[1] = sum;
    }
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
          if (band + 8 * n + 2 * t >= cols) continue;
          *reinterpret_cast<float2*>(to + 8 * n) = {context[m][n][2 * r], context[m][n][2 * r + 1]};
        }
      }
    }
  }
}

template <class T, int Dim>
void run(Stream stream, const FusionArgs<T>& args) {
  // Keys and values stay for all chunks of a block.
  const std::int64_t chunks = ceil_div(args.tile_count, kFusionShortChunks);
  const auto blocks = static_cast<unsigned>(ceil_div(args.tile_count, chunks));
  launch("fusion short", short_kernel<T, Dim>, dim3{blocks, 1, 1}, dim3{kThreads, 1, 1},
         sizeof(Shared<T, Dim>), stream, args, static_cast<int>(chunks));
}

template <class T>
void dispatch(Stream stream, const FusionArgs<T>& args) {
  const int dim = args.vision.cols;
  if (dim <= 64) return run<T, 64>(stream, args);
  if (dim <= 128) return run<T, 128>(stream, args);
  if (dim <= 192) return run<T, 192>(stream, args);
  run<T, 256>(stream, args);
}

}  // namespace

void launch_short_fusion(Stream stream, const FusionArgs<Half>& args) { dispatch(stream, args); }
void launch_short_fusion(Stream stream, const FusionArgs<BFloat16>& args) {
  dispatch(stream, args);
}

}  // namespace itemcrop::cuda::kernels
