// Swin's shifted windows: gathered from and scattered to the map, padding included.
#include "backend/cuda/kernels/attention.h"
#include "backend/cuda/kernels/device.cuh"
#include "backend/cuda/kernels/flash.cuh"

namespace itemcrop::cuda::kernels {
namespace {

constexpr int kMostWarps = 12;
constexpr float kMasked = -100.0F;

template <class T>
struct WindowArgs {
  Block<T> qkv, y;  // cols: of one head
  const float* qkv_bias;
  const float* bias;
  const WindowMap* maps;
  int map_count;
  int window;
  int shift;
  int heads;
};

/// One token of a window, in shared memory.
struct Token {
  std::int32_t row;     ///< of the map, or -1 in the padding
  std::int32_t code;    ///< place: y * (2 window - 1) + x
  std::int32_t region;  ///< tokens of different regions were not neighbours before the roll
};

__host__ __device__ constexpr int round_up(int value, int step) {
  return (value + step - 1) / step * step;
}

/// Place of a rolled place in the unrolled axis, and its region, as ops::WindowAxis.
__device__ inline int region_of(int rolled, int padded, int window, int shift) {
  if (shift == 0) return 0;
  return (rolled >= padded - window ? 1 : 0) + (rolled >= padded - shift ? 1 : 0);
}

/// One head of one window a block, 16 queries a warp at a time.
/// Bytes: qkv and y once. Operations: 4 a query, key and channel, of windows rounded up to 16.
template <class T, int Dim, int Keys>
__global__ void window_attention_kernel(WindowArgs<T> args) {
  constexpr int kStride = tile_stride<T>(Dim);
  const int thread = static_cast<int>(threadIdx.x);
  const int threads = static_cast<int>(blockDim.x);
  const int head = static_cast<int>(blockIdx.y);

  // The map of this window: the last whose first window is not beyond.
  int low = 0;
  int high = args.map_count;
  while (high - low > 1) {
    const int middle = (low + high) / 2;
    if (args.maps[middle].first_window <= static_cast<int>(blockIdx.x)) {
      low = middle;
    } else {
      high = middle;
    }
  }
  const WindowMap map = args.maps[low];
  const int place = static_cast<int>(blockIdx.x) - map.first_window;
  const int across = map.windows_across;
  const int down = (map.height + args.window - 1) / args.window;
  if (place >= across * down) return;

  const int count = args.window * args.window;
  const int query_rows = round_up(count, 16);
  const int key_rows = round_up(count, Keys);
  const int codes = 2 * args.window - 1;
  auto* const queries = reinterpret_cast<T*>(dynamic_shared());
  T* const keys = queries + query_rows * kStride;
  T* const values = keys + key_rows * kStride;
  auto* const tokens = reinterpret_cast<Token*>(values + key_rows * kStride);
  auto* const table =
      reinterpret_cast<float*>(tokens + (query_rows > key_rows ? query_rows : key_rows));

  for (int i = thread; i < query_rows || i < key_rows; i += threads) {
    Token token{-1, 0, 0};
    if (i < count) {
      const int y = i / args.window;
      const int x = i % args.window;
      const int rolled_y = place / across * args.window + y;
      const int rolled_x = place % across * args.window + x;
      const int padded_y = down * args.window;
      const int padded_x = across * args.window;
      const int source_y = (rolled_y + args.shift) % padded_y;
      const int source_x = (rolled_x + args.shift) % padded_x;
      if (source_y < map.height && source_x < map.width)
        token.row = source_y * map.width + source_x;
      token.code = y * codes + x;
      token.region = region_of(rolled_y, padded_y, args.window, args.shift) * 3 +
                     region_of(rolled_x, padded_x, args.window, args.shift);
    }
    tokens[i] = token;
  }
  for (int i = thread; i < codes * codes; i += threads) table[i] = args.bias[i * args.heads + head];
  __syncthreads();

  const int channels = args.qkv.cols * args.heads;
  const auto copy = [&](T* tile, int rows, int part) {
    const std::int64_t column = static_cast<std::int64_t>(part) * channels + head * args.qkv.cols;
    start_rows<T, Dim>(
        tile, rows, args.qkv.cols, args.qkv.wide, thread, threads, [&](int r) -> const T* {
          if (tokens[r].row < 0) return nullptr;
          return args.qkv.data + (map.begin + tokens[r].row) * args.qkv.stride + column;
        });
  };
  copy(queries, query_rows, 0);
  copy(keys, key_rows, 1);
  copy(values, key_rows, 2);
  finish_copies();
  // Padding is zeros after the norm, so its keys and values are the product's bias.
  const bool padded = map.height % args.window != 0 || map.width % args.window != 0;
  if (padded && args.qkv_bias != nullptr) {
    __syncthreads();
    for (int i = thread; i < count * args.qkv.cols; i += threads) {
      const int r = i / args.qkv.cols;
      const int c = i % args.qkv.cols;
      if (tokens[r].row >= 0) continue;
      const float* column = args.qkv_bias + channels + head * args.qkv.cols + c;
      from_float(column[0], keys[r * kStride + c]);
      from_float(column[channels], values[r * kStride + c]);
    }
  }
  __syncthreads();

  const float scale = rsqrtf(static_cast<float>(args.qkv.cols));
  const int centre = (args.window - 1) * (codes + 1);
  const int warps = threads / static_cast<int>(kWarp);
  for (int first_query = thread / static_cast<int>(kWarp) * 16; first_query < count;
       first_query += warps * 16) {
    T* const mine = queries + first_query * kStride;
    Token own[2];
#pragma unroll
    for (int r = 0; r < 2; ++r) own[r] = tokens[first_query + lane_id() / 4 + 8 * r];
    Flash<T, Dim, Dim, Keys> flash;
    flash.begin();
    for (int first_key = 0; first_key < count; first_key += Keys) {
      flash.add(mine, keys + first_key * kStride, values + first_key * kStride, kStride,
                [&](int row, int key, float product) {
                  const int k = first_key + key;
                  if (k >= count) return -INFINITY;
                  const Token& other = tokens[k];
                  const Token& self = own[row / 8];
                  const float relative = table[self.code - other.code + centre];
                  return product * scale + relative +
                         (self.region == other.region ? 0.0F : kMasked);
                });
    }
    flash.finish();
    __syncwarp();
    store_totals<T, Dim>(flash.totals, {flash.share(0), flash.share(1)}, mine, kStride);
    __syncwarp();
    copy_from_tile<T, Dim>(
        mine, 16, args.y.cols, args.y.wide, lane_id(), static_cast<int>(kWarp), [&](int r) -> T* {
          const std::int32_t row = tokens[first_query + r].row;
          if (row < 0) return nullptr;
          return args.y.data + (map.begin + row) * args.y.stride + head * args.y.cols;
        });
  }
}

template <class T, int Dim, int Keys>
void run(Stream stream, const WindowAttentionParams& params, const WindowArgs<T>& args) {
  const int count = params.window * params.window;
  const int query_rows = round_up(count, 16);
  const int key_rows = round_up(count, Keys);
  const int codes = 2 * params.window - 1;
  const std::size_t shared =
      static_cast<std::size_t>((query_rows + 2 * key_rows) * tile_stride<T>(Dim)) * sizeof(T) +
      static_cast<std::size_t>(query_rows > key_rows ? query_rows : key_rows) * sizeof(Token) +
      static_cast<std::size_t>(codes * codes) * sizeof(float);
  const int warps = query_rows / 16 < kMostWarps ? query_rows / 16 : kMostWarps;
  launch("window_attention", window_attention_kernel<T, Dim, Keys>,
         dim3{static_cast<unsigned>(params.windows), static_cast<unsigned>(params.heads), 1},
         dim3{static_cast<unsigned>(warps) * kWarp, 1, 1}, shared, stream, args);
}

}  // namespace

void launch_window_attention(Stream stream, const WindowAttentionParams& params) {
  if (params.windows == 0) return;
  const std::int64_t head_dim = params.y.cols / params.heads;
  constexpr int kLargeWindow = 64;  // tokens
  const bool large = params.window * params.window > kLargeWindow;
  dispatch_float(params.qkv.dtype, [&](auto tag) {
    using T = decltype(tag);
    const WindowArgs<T> args{block_of<T>(params.qkv, head_dim),
                             block_of<T>(params.y, head_dim),
                             params.qkv_bias,
                             params.bias,
                             params.maps,
                             params.map_count,
                             params.window,
                             params.shift,
                             params.heads};
    // 12 x 12 tokens are three chunks of 48.
    if (head_dim <= 32) {
      return large ? run<T, 32, 48>(stream, params, args) : run<T, 32, 64>(stream, params, args);
    }
    if (head_dim <= 64) {
      return large ? run<T, 64, 48>(stream, params, args) : run<T, 64, 64>(stream, params, args);
    }
    constexpr int kInvalidValue = 1;  // cudaErrorInvalidValue
    throw_launch_error(kInvalidValue, "window_attention");
  });
}

}  // namespace itemcrop::cuda::kernels
