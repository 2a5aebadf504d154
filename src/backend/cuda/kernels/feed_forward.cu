// A whole feed-forward network with its norms and residual, for few channels: Swin's first stages
// would otherwise write and read four times their activations between two products.
#include "backend/cuda/kernels/activation.cuh"
#include "backend/cuda/kernels/device.cuh"
#include "backend/cuda/kernels/feed_forward.h"
#include "backend/cuda/kernels/mma.cuh"
#include "backend/cuda/kernels/tile.cuh"

namespace itemcrop::cuda::kernels {
namespace {

constexpr int kWarps = 8;
constexpr int kThreads = kWarps * static_cast<int>(kWarp);
constexpr int kHidden = 32;  ///< hidden channels at a time

template <class T>
struct FeedForwardArgs {
  Block<T> x, y;
  Block<const T> up, down;
  View up_bias, down_bias;
  RowNorm before, after;
  ops::Activation activation;
  std::int64_t rows;
  int hidden;
};

/// Weights of 32 hidden channels in shared memory.
template <class T, int Dim>
struct Weights {
  T up[kHidden * tile_stride<T>(Dim)];
  T down[Dim * tile_stride<T>(kHidden)];
};

/// Rows that a warp keeps in registers, in sixteens: more of them share each load of weights.
template <int Dim>
constexpr int kParts = Dim <= 96 ? 2 : 1;

/// The rows' tile lies over the second weights: inputs leave it before those come, and sums take it
/// when all are spent.
template <class T, int Dim>
constexpr std::size_t shared_bytes() {
  const std::size_t tile =
      static_cast<std::size_t>(kWarps * kParts<Dim> * 16 * tile_stride<T>(Dim)) * sizeof(T);
  const std::size_t weights = sizeof(Weights<T, Dim>);
  return weights + (tile > weights ? tile : weights);
}

/// 16 or 32 rows a warp, their inputs and sums in registers; weights pass through shared memory,
/// the next 32 hidden channels' while these are multiplied. Bytes: x twice and y; all weights a
/// block, from the cache. Operations: 4 a row, channel and hidden channel, and 15 a row and hidden
/// channel for GELU.
template <class T, int Dim>
__global__ void __launch_bounds__(kThreads, 1) feed_forward_kernel(FeedForwardArgs<T> args) {
  constexpr int kM = kParts<Dim>;
  constexpr int kRows = kM * 16;  // of a warp
  constexpr int kStride = tile_stride<T>(Dim);
  constexpr int kHiddenStride = tile_stride<T>(kHidden);
  const int warp = static_cast<int>(threadIdx.x / kWarp);
  const int g = lane_id() / 4;
  const int t = lane_id() % 4;
  auto* const weights = reinterpret_cast<Weights<T, Dim>*>(dynamic_shared());
  T* const tile = reinterpret_cast<T*>(weights + 1) + warp * kRows * kStride;
  const std::int64_t first_row = (static_cast<std::int64_t>(blockIdx.x) * kWarps + warp) * kRows;
  const std::int64_t left = args.rows - first_row;
  const int count = left < kRows ? static_cast<int>(left > 0 ? left : 0) : kRows;

  const auto start = [&](int chunk) {
    Weights<T, Dim>& to = weights[chunk % 2];
    start_tile<T, kHidden, Dim>(args.up, static_cast<std::int64_t>(chunk) * kHidden, kHidden, 0,
                                to.up);
    start_tile<T, Dim, kHidden>(args.down, 0, Dim, chunk * kHidden, to.down);
  };
  start(0);

  normalise_to_tile<T, Dim, kRows>(args.x.from(count > 0 ? first_row : 0), count, args.before, tile,
                                   [](int n) { return n; });
  __syncwarp();
  FragmentA<T> inputs[kM][Dim / 16];
#pragma unroll
  for (int m = 0; m < kM; ++m) {
#pragma unroll
    for (int k = 0; k < Dim / 16; ++k) {
      load_a(inputs[m][k], tile + m * 16 * kStride + k * 16, kStride);
    }
  }
  float totals[kM][Dim / 8][4];
#pragma unroll
  for (int m = 0; m < kM; ++m) {
#pragma unroll
    for (int n = 0; n < Dim / 8; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) totals[m][n][i] = 0;
    }
  }

  const int chunks = args.hidden / kHidden;
#pragma unroll 1
  for (int chunk = 0; chunk < chunks; ++chunk) {
    finish_copies();
    // Also says that nobody reads the other weights any more.
    __syncthreads();
    if (chunk + 1 < chunks) start(chunk + 1);
    const Weights<T, Dim>& now = weights[chunk % 2];

    float hidden[kM][kHidden / 8][4];
#pragma unroll
    for (int n = 0; n < kHidden / 8; ++n) {
#pragma unroll
      for (int j = 0; j < 2; ++j) {
        const float bias = args.up_bias.data == nullptr
                               ? 0.0F
                               : load_value(args.up_bias, 0, chunk * kHidden + 8 * n + 2 * t + j);
#pragma unroll
        for (int m = 0; m < kM; ++m) hidden[m][n][j] = hidden[m][n][2 + j] = bias;
      }
    }
#pragma unroll
    for (int k = 0; k < Dim / 16; ++k) {
#pragma unroll
      for (int n = 0; n < kHidden / 16; ++n) {
        FragmentB<T> b[2];
        load_b(b, now.up + n * 16 * kStride + k * 16, kStride);
#pragma unroll
        for (int m = 0; m < kM; ++m) {
          multiply(hidden[m][2 * n], inputs[m][k], b[0]);
          multiply(hidden[m][2 * n + 1], inputs[m][k], b[1]);
        }
      }
    }
#pragma unroll
    for (int k = 0; k < kHidden / 16; ++k) {
      // C's layout of two neighbours is A's of one.
      FragmentA<T> a[kM];
#pragma unroll
      for (int m = 0; m < kM; ++m) {
#pragma unroll
        for (int r = 0; r < 4; ++r) {
          const float* pair = &hidden[m][2 * k + r / 2][2 * (r % 2)];
          set_part(a[m], r, activated(pair[0], args.activation),
                   activated(pair[1], args.activation));
        }
      }
#pragma unroll
      for (int n = 0; n < Dim / 16; ++n) {
        FragmentB<T> b[2];
        load_b(b, now.down + n * 16 * kHiddenStride + k * 16, kHiddenStride);
#pragma unroll
        for (int m = 0; m < kM; ++m) {
          multiply(totals[m][2 * n], a[m], b[0]);
          multiply(totals[m][2 * n + 1], a[m], b[1]);
        }
      }
    }
  }

  // Bias and residual in fp32, then the norm: a row lies in four neighbouring lanes.
#pragma unroll
  for (int m = 0; m < kM; ++m) {
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      const int row = m * 16 + g + 8 * r;
      const T* residual = args.x.data + (first_row + row) * args.x.stride;
      float sum = 0;
#pragma unroll
      for (int n = 0; n < Dim / 8; ++n) {
#pragma unroll
        for (int j = 0; j < 2; ++j) {
          const int c = 8 * n + 2 * t + j;
          float& total = totals[m][n][2 * r + j];
          if (row < count) total += to_float(residual[c]);
          if (args.down_bias.data != nullptr) total += load_value(args.down_bias, 0, c);
          sum += total;
        }
      }
      if (args.after.weight == nullptr) continue;
      const float mean = group_sum<4>(sum) / Dim;
      float squares = 0;
#pragma unroll
      for (int n = 0; n < Dim / 8; ++n) {
#pragma unroll
        for (int j = 0; j < 2; ++j) {
          const float centred = totals[m][n][2 * r + j] - mean;
          squares += centred * centred;
        }
      }
      const float scale = 1.0F / sqrtf(group_sum<4>(squares) / Dim + args.after.epsilon);
#pragma unroll
      for (int n = 0; n < Dim / 8; ++n) {
#pragma unroll
        for (int j = 0; j < 2; ++j) {
          const int c = 8 * n + 2 * t + j;
          float& total = totals[m][n][2 * r + j];
          total =
              (total - mean) * scale * __ldg(args.after.weight + c) + __ldg(args.after.bias + c);
        }
      }
    }
  }

  __syncthreads();
#pragma unroll
  for (int m = 0; m < kM; ++m) {
#pragma unroll
    for (int n = 0; n < Dim / 8; ++n) {
#pragma unroll
      for (int r = 0; r < 2; ++r) {
        store_pair(tile + (m * 16 + g + 8 * r) * kStride + 8 * n + 2 * t, totals[m][n][2 * r],
                   totals[m][n][2 * r + 1]);
      }
    }
  }
  __syncwarp();
  copy_from_tile<T, Dim>(
      tile, kRows, Dim, args.y.wide, lane_id(), static_cast<int>(kWarp), [&](int r) -> T* {
        return r < count ? args.y.data + (first_row + r) * args.y.stride : nullptr;
      });
}

template <class T, int Dim>
void run(Stream stream, const FeedForwardArgs<T>& args) {
  constexpr int kRows = kWarps * kParts<Dim> * 16;
  launch("feed_forward", feed_forward_kernel<T, Dim>,
         dim3{static_cast<unsigned>(ceil_div(args.rows, kRows)), 1, 1}, dim3{kThreads, 1, 1},
         shared_bytes<T, Dim>(), stream, args);
}

template <class T>
void dispatch(Stream stream, const FeedForwardParams& params) {
  const auto weight_of = [](const Matrix& m) {
    const Block<T> block = block_of<T>(m, m.cols);
    return Block<const T>{block.data, block.stride, block.cols, block.wide};
  };
  const FeedForwardArgs<T> args{block_of<T>(params.x, params.x.cols),
                                block_of<T>(params.y, params.y.cols),
                                weight_of(params.up),
                                weight_of(params.down),
                                view_of(params.up_bias),
                                view_of(params.down_bias),
                                params.before,
                                params.after,
                                params.activation,
                                params.x.rows,
                                static_cast<int>(params.up.rows)};
  switch (params.x.cols) {
    case 64:
      return run<T, 64>(stream, args);
    case 96:
      return run<T, 96>(stream, args);
    case 128:
      return run<T, 128>(stream, args);
    default:
      return run<T, 192>(stream, args);
  }
}

}  // namespace

bool feed_forward_fits(const FeedForwardParams& params) {
  const std::int64_t dim = params.x.cols;
  const bool sizes = (dim == 64 || dim == 96 || dim == 128 || dim == 192) &&
                     params.up.rows % kHidden == 0 && params.up.rows > 0;
  const bool types = size_of(params.x.dtype) == 2 && params.up.dtype == params.x.dtype &&
                     params.down.dtype == params.x.dtype && params.y.dtype == params.x.dtype;
  return sizes && types && view_of(params.x).wide && view_of(params.y).wide &&
         view_of(params.up).wide && view_of(params.down).wide;
}

void launch_feed_forward(Stream stream, const FeedForwardParams& params) {
  if (params.x.rows == 0) return;
  if (!feed_forward_fits(params)) {
    constexpr int kInvalidValue = 1;  // cudaErrorInvalidValue
    throw_launch_error(kInvalidValue, "feed_forward");
  }
  if (params.x.dtype == DType::kF16) {
    dispatch<Half>(stream, params);
  } else {
    dispatch<BFloat16>(stream, params);
  }
}

}  // namespace itemcrop::cuda::kernels
