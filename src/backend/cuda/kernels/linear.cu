// Products of few input channels with what stands around them: norms, positions, residuals.
#include "backend/cuda/kernels/activation.cuh"
#include "backend/cuda/kernels/device.cuh"
#include "backend/cuda/kernels/linear.h"
#include "backend/cuda/kernels/mma.cuh"
#include "backend/cuda/kernels/tile.cuh"

namespace itemcrop::cuda::kernels {
namespace {

constexpr int kWarps = 8;
constexpr int kThreads = kWarps * static_cast<int>(kWarp);
constexpr int kRows = 16;     ///< of a warp
constexpr int kOutputs = 32;  ///< at a time

template <class T, class Y>
struct LinearArgs {
  Block<T> x, more, residual;
  Block<const T> weight;
  Block<Y> y;
  View bias;
  RowNorm before, after;
  ops::Activation activation;
  std::int64_t rows;
  int outputs;
};

template <class T, int Dim>
constexpr int kWeightValues = kOutputs* tile_stride<T>(Dim);
template <class T, int Dim>
constexpr int kTileValues = kRows* tile_stride<T>(Dim);

/// 16 rows a warp, inputs in registers; 32 outputs at a time, the next ones' weights copied
/// meanwhile. A warp's tile takes its inputs, then its outputs: 32 of them on their way out, or all
/// of them where a norm follows.
/// A row is read before it is written, and by the same warp, so y may be any input.
/// Bytes: x, more, residual and y once; all weights a block, from the cache. Operations: 2 a row,
/// input and output.
template <class T, class Y, int Dim>
__global__ void __launch_bounds__(kThreads, 2) linear_kernel(LinearArgs<T, Y> args) {
  constexpr int kStride = tile_stride<T>(Dim);
  constexpr int kOutStride = tile_stride<Y>(kOutputs);
  static_assert(kRows * kOutStride * sizeof(Y) <= kTileValues<T, Dim> * sizeof(T));
  const int warp = static_cast<int>(threadIdx.x / kWarp);
  const int g = lane_id() / 4;
  const int t = lane_id() % 4;
  auto* const weights = reinterpret_cast<T*>(dynamic_shared());
  T* const tile = weights + 2 * kWeightValues<T, Dim> + warp * kTileValues<T, Dim>;
  const std::int64_t first_row = (static_cast<std::int64_t>(blockIdx.x) * kWarps + warp) * kRows;
  const std::int64_t left = args.rows - first_row;
  const int count = left < kRows ? static_cast<int>(left > 0 ? left : 0) : kRows;
  const std::int64_t safe_row = count > 0 ? first_row : 0;

  const auto start = [&](int chunk) {
    start_tile<T, kOutputs, Dim>(args.weight, static_cast<std::int64_t>(chunk) * kOutputs,
                                 args.outputs - chunk * kOutputs, 0,
                                 weights + chunk % 2 * kWeightValues<T, Dim>);
  };
  start(0);
  const Block<T> more = args.more.data == nullptr ? args.more : args.more.from(safe_row);
  normalise_to_tile<T, Dim, kRows>(
      args.x.from(safe_row), count, args.before, tile, [](int n) { return n; }, &more);
  __syncwarp();
  FragmentA<T> inputs[Dim / 16];
#pragma unroll
  for (int k = 0; k < Dim / 16; ++k) load_a(inputs[k], tile + k * 16, kStride);

  const int chunks = (args.outputs + kOutputs - 1) / kOutputs;
#pragma unroll 1
  for (int chunk = 0; chunk < chunks; ++chunk) {
    finish_copies();
    // Also says that nobody reads the other weights any more.
    __syncthreads();
    if (chunk + 1 < chunks) start(chunk + 1);
    const T* now = weights + chunk % 2 * kWeightValues<T, Dim>;
    const int first = chunk * kOutputs;
    const int wanted = args.outputs - first < kOutputs ? args.outputs - first : kOutputs;

    float totals[kOutputs / 8][4];
#pragma unroll
    for (int n = 0; n < kOutputs / 8; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) totals[n][i] = 0;
    }
#pragma unroll
    for (int k = 0; k < Dim / 16; ++k) {
#pragma unroll
      for (int n = 0; n < kOutputs / 16; ++n) {
        FragmentB<T> b[2];
        load_b(b, now + n * 16 * kStride + k * 16, kStride);
        multiply(totals[2 * n], inputs[k], b[0]);
        multiply(totals[2 * n + 1], inputs[k], b[1]);
      }
    }

    Y* const out = args.after.weight != nullptr ? reinterpret_cast<Y*>(tile) + first
                                                : reinterpret_cast<Y*>(tile);
    const int out_stride = args.after.weight != nullptr ? kStride : kOutStride;
#pragma unroll
    for (int n = 0; n < kOutputs / 8; ++n) {
      if (8 * n >= wanted) break;
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int c = 8 * n + 2 * t + i % 2;
        const int row = g + 8 * (i / 2);
        float value = totals[n][i];
        if (args.bias.data != nullptr) value += load_value(args.bias, 0, first + c);
        value = activated(value, args.activation);
        if (args.residual.data != nullptr && row < count) {
          value +=
              to_float(args.residual.data[(first_row + row) * args.residual.stride + first + c]);
        }
        from_float(value, out[row * out_stride + c]);
      }
    }
    __syncwarp();
    if (args.after.weight != nullptr) continue;
    copy_from_tile<Y, kOutputs>(out, kRows, wanted, args.y.wide, lane_id(), static_cast<int>(kWarp),
                                [&](int r) -> Y* {
                                  if (r >= count) return nullptr;
                                  return args.y.data + (first_row + r) * args.y.stride + first;
                                });
    __syncwarp();
  }

  if constexpr (std::is_same_v<T, Y>) {
    if (args.after.weight == nullptr) return;
    const Block<T> sums{tile, kStride, args.outputs, true};
    normalise_to_tile<T, Dim, kRows>(sums, kRows, args.after, tile, [](int n) { return n; });
    __syncwarp();
    copy_from_tile<T, Dim>(tile, kRows, args.outputs, args.y.wide, lane_id(),
                           static_cast<int>(kWarp), [&](int r) -> T* {
                             if (r >= count) return nullptr;
                             return args.y.data + (first_row + r) * args.y.stride;
                           });
  }
}

template <class T, class Y, int Dim>
void run(Stream stream, const LinearArgs<T, Y>& args) {
  constexpr std::size_t kShared =
      static_cast<std::size_t>(2 * kWeightValues<T, Dim> + kWarps * kTileValues<T, Dim>) *
      sizeof(T);
  launch("linear", linear_kernel<T, Y, Dim>,
         dim3{static_cast<unsigned>(ceil_div(args.rows, kWarps * kRows)), 1, 1},
         dim3{kThreads, 1, 1}, kShared, stream, args);
}

template <class T, class Y>
void dispatch(Stream stream, const LinearParams& params) {
  const auto block = [](const Matrix& m) { return block_of<T>(m, m.cols); };
  const Block<T> weight = block(params.weight);
  const LinearArgs<T, Y> args{block(params.x),
                              block(params.more),
                              block(params.residual),
                              {weight.data, weight.stride, weight.cols, weight.wide},
                              block_of<Y>(params.y, params.y.cols),
                              view_of(params.bias),
                              params.before,
                              params.after,
                              params.activation,
                              params.x.rows,
                              static_cast<int>(params.weight.rows)};
  switch (params.x.cols) {
    case 64:
      return run<T, Y, 64>(stream, args);
    case 96:
      return run<T, Y, 96>(stream, args);
    case 128:
      return run<T, Y, 128>(stream, args);
    case 192:
      return run<T, Y, 192>(stream, args);
    default:
      return run<T, Y, 256>(stream, args);
  }
}

}  // namespace

bool linear_fits(const LinearParams& params) {
  const std::int64_t inputs = params.x.cols;
  const std::int64_t outputs = params.weight.rows;
  const DType type = params.x.dtype;
  const auto fits = [&](const Matrix& m) { return m.dtype == type && view_of(m).wide; };
  const bool sizes =
      (inputs == 64 || inputs == 96 || inputs == 128 || inputs == 192 || inputs == 256) &&
      outputs % kVector == 0 && outputs > 0;
  const bool types = size_of(type) == 2 && fits(params.x) && fits(params.weight) &&
                     (params.more.empty() || fits(params.more)) &&
                     (params.residual.empty() || fits(params.residual)) && view_of(params.y).wide &&
                     (params.y.dtype == type || params.y.dtype == DType::kF32);
  const bool after =
      params.after.weight == nullptr || (outputs <= inputs && params.y.dtype == type);
  return sizes && types && after;
}

void launch_linear(Stream stream, const LinearParams& params) {
  if (params.x.rows == 0) return;
  if (!linear_fits(params)) {
    constexpr int kInvalidValue = 1;  // cudaErrorInvalidValue
    throw_launch_error(kInvalidValue, "linear");
  }
  const auto with_output = [&](auto tag) {
    using T = decltype(tag);
    if (params.y.dtype == DType::kF32) return dispatch<T, float>(stream, params);
    dispatch<T, T>(stream, params);
  };
  if (params.x.dtype == DType::kF16) return with_output(Half{});
  with_output(BFloat16{});
}

}  // namespace itemcrop::cuda::kernels
