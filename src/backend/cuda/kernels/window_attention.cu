// Swin's shifted windows: gathered from and scattered to the map, padding included.
#include "backend/cuda/kernels/attention.h"
#include "backend/cuda/kernels/device.cuh"
#include "backend/cuda/kernels/flash.cuh"

namespace itemcrop::cuda::kernels {
namespace {

constexpr int kMaxWarps = 9;  // 12 x 12 tokens
constexpr int kMaxEach = 8;   // windows a block
constexpr float kMasked = -100.0F;

template <class T>
struct WindowArgs {
  Block<T> qkv, y;  // cols: of one head
  const float* qkv_bias;
  const float* bias;
  const WindowMap* maps;
  int map_count;
  int each;     // windows a block
  int buffers;  // of queries, keys and values: 2 where they fit
  int window;
  int shift;
  int heads;
};

/// Where a token lies in any window.
struct Spot {
  std::int16_t y, x;
  std::int32_t code;  ///< y * (2 window - 1) + x
};

/// One token of the window in a buffer.
struct Token {
  std::int32_t row;     ///< of the map, or -1 in the padding
  std::int32_t region;  ///< tokens of different regions were not neighbours before the roll
};

/// One window, and the way to the next. The same in all threads of a block.
struct Place {
  WindowMap map;
  int index;  ///< of the map
  int y, x;   ///< of the window, in windows
  int down;   ///< windows of the map

  template <class T>
  __device__ void enter(const WindowArgs<T>& args, int map_index) {
    index = map_index;
    map = args.maps[map_index];
    down = (map.height + args.window - 1) / args.window;
    y = x = 0;
  }

  /// False beyond the last window.
  template <class T>
  __device__ bool find(const WindowArgs<T>& args, int window) {
    int low = 0;
    int high = args.map_count;
    while (high - low > 1) {
      const int middle = (low + high) / 2;
      (args.maps[middle].first_window <= window ? low : high) = middle;
    }
    enter(args, low);
    y = (window - map.first_window) / map.windows_across;
    x = (window - map.first_window) % map.windows_across;
    return y < down;
  }

  template <class T>
  __device__ bool advance(const WindowArgs<T>& args) {
    if (++x < map.windows_across) return true;
    x = 0;
    if (++y < down) return true;
    if (index + 1 == args.map_count) return false;
    enter(args, index + 1);
    return true;
  }

  /// Whether the cyclic shift put tokens of different regions into this window.
  __device__ bool mixed(int shift) const {
    return shift != 0 && (y == down - 1 || x == map.windows_across - 1);
  }
};

__host__ __device__ constexpr int round_up(int value, int step) {
  return (value + step - 1) / step * step;
}

/// Region of a place in the rolled axis, as ops::WindowAxis.
__device__ inline int region_of(int rolled, int padded, int window, int shift) {
  return (rolled >= padded - window ? 1 : 0) + (rolled >= padded - shift ? 1 : 0);
}

template <class T>
__device__ inline Token token_of(const WindowArgs<T>& args, const Place& place, const Spot& spot) {
  const int padded_y = place.down * args.window;
  const int padded_x = place.map.windows_across * args.window;
  const int rolled_y = place.y * args.window + spot.y;
  const int rolled_x = place.x * args.window + spot.x;
  int y = rolled_y + args.shift;
  int x = rolled_x + args.shift;
  if (y >= padded_y) y -= padded_y;
  if (x >= padded_x) x -= padded_x;
  Token token{-1, 0};
  if (y < place.map.height && x < place.map.width) token.row = y * place.map.width + x;
  if (place.mixed(args.shift)) {
    token.region = region_of(rolled_y, padded_y, args.window, args.shift) * 3 +
                   region_of(rolled_x, padded_x, args.window, args.shift);
  }
  return token;
}

/// Columns [first, first + 16 bytes) of what a token in the padding has: zeros after the norm, so
/// the product's bias.
template <class T>
__device__ inline uint4 padding_piece(const float* bias, int first, int cols) {
  constexpr int kPiece = 16 / static_cast<int>(sizeof(T));
  T values[kPiece];
#pragma unroll
  for (int i = 0; i < kPiece; ++i) {
    from_float(bias != nullptr && first + i < cols ? bias[first + i] : 0.0F, values[i]);
  }
  uint4 piece;
  memcpy(&piece, values, sizeof(piece));
  return piece;
}

/// Rows of a tile: whole windows fill 64, others whole chunks of keys.
template <int Keys, bool Whole>
__host__ __device__ constexpr int tile_rows(int count) {
  return round_up(count, Whole ? round_up(Keys, 16) : Keys);
}

template <bool Whole>
constexpr int kMaxThreads = (Whole ? 4 : kMaxWarps) * static_cast<int>(kWarp);

/// Blocks a multiprocessor at least: five of 96 registers a thread hide more than four of 128.
template <class T, int Dim, int Keys, bool Whole>
constexpr int kBlocks = Dim * sizeof(T) > 64 ? 1
                        : !Whole             ? 2
                        : Keys <= 56         ? 5
                                             : 3;

/// One head of several windows, one after another, by one block; 16 queries a warp at a time. The
/// next window is copied while one is computed. `Whole`: all keys of a window are one chunk, so the
/// relative bias stays in registers, where the products are added to it.
/// Bytes: qkv and y once. Operations: 4 a query, key and channel, of queries rounded up to 16 and
/// keys to 8.
template <class T, int Dim, int Keys, bool Whole>
__global__ void __launch_bounds__(kMaxThreads<Whole>, kBlocks<T, Dim, Keys, Whole>)
    window_attention_kernel(WindowArgs<T> args) {
  await_predecessor();
  constexpr int kStride = tile_stride<T>(Dim);
  constexpr int kPiece = 16 / static_cast<int>(sizeof(T));
  constexpr int kPieces = Dim / kPiece;
  const int thread = static_cast<int>(threadIdx.x);
  const int threads = static_cast<int>(blockDim.x);
  // Heads of a window run side by side: they share lines of memory.
  const int head = static_cast<int>(blockIdx.x) % args.heads;
  Place place;
  if (!place.find(args, static_cast<int>(blockIdx.x) / args.heads * args.each)) return;

  const int count = args.window * args.window;
  const int rows = tile_rows<Keys, Whole>(count);
  const int codes = 2 * args.window - 1;
  auto* const tiles = reinterpret_cast<T*>(dynamic_shared());
  auto* const all_tokens = reinterpret_cast<Token*>(tiles + args.buffers * 3 * rows * kStride);
  auto* const spots = reinterpret_cast<Spot*>(all_tokens + args.buffers * rows);
  auto* const table = reinterpret_cast<float*>(spots + rows);

  const float root = sqrtf(static_cast<float>(args.qkv.cols));
  for (int i = thread; i < codes * codes; i += threads) {
    // Scores are scaled when they become weights.
    table[i] = args.bias[i * args.heads + head] * root;
  }
  for (int i = thread; i < rows; i += threads) {
    const int y = i / args.window;
    const int x = i % args.window;
    spots[i] = {static_cast<std::int16_t>(y), static_cast<std::int16_t>(x), y * codes + x};
  }
  // Rows past the window stay zeros.
  for (int buffer = 0; buffer < args.buffers; ++buffer) {
    for (int i = thread; i < (rows - count) * kPieces; i += threads) {
      T* const to =
          tiles + (buffer * 3 * rows + count + i / kPieces) * kStride + i % kPieces * kPiece;
      for (int part = 0; part < 3; ++part) {
        *reinterpret_cast<uint4*>(to + part * rows * kStride) = uint4{0, 0, 0, 0};
      }
    }
    for (int i = count + thread; i < rows; i += threads) {
      all_tokens[buffer * rows + i] = {-1, 0};
    }
  }
  __syncthreads();

  const int channels = args.qkv.cols * args.heads;
  // A thread's copies all have the same columns.
  const int own_row = thread / kPieces;
  const int own_column = thread % kPieces * kPiece;
  const int head_column = head * args.qkv.cols;
  const bool simple = args.qkv.wide && own_column + kPiece <= args.qkv.cols;
  const auto start = [&](int buffer) {
    T* const tile = tiles + buffer * 3 * rows * kStride + own_column;
    const T* const map = args.qkv.data + place.map.begin * args.qkv.stride + head_column;
#pragma unroll 1
    for (int r = own_row; r < count; r += threads / kPieces) {
      const Token token = token_of(args, place, spots[r]);
      if (own_column == 0) all_tokens[buffer * rows + r] = token;
      const T* const from =
          map + static_cast<std::int64_t>(token.row) * static_cast<int>(args.qkv.stride);
      T* const to = tile + r * kStride;
      if (simple && token.row >= 0) {
#pragma unroll
        for (int part = 0; part < 3; ++part) {
          start_copy(to + part * rows * kStride, from + own_column + part * channels);
        }
        continue;
      }
#pragma unroll 1
      for (int part = 0; part < 3; ++part) {
        const float* bias = args.qkv_bias;
        if (bias != nullptr) bias += part * channels + head_column;
        *reinterpret_cast<uint4*>(to + part * rows * kStride) =
            token.row >= 0
                ? load_piece(from + part * channels, own_column, args.qkv.cols, args.qkv.wide)
                : padding_piece<T>(bias, own_column, args.qkv.cols);
      }
    }
  };
  start(0);

  const int lane_row = thread / static_cast<int>(kWarp) * 16 + lane_id() / 4;
  const int lane_key = lane_id() % 4 * 2;
  const float masked = kMasked * root;
  const auto y_stride = static_cast<int>(args.y.stride);
  // Place in the table: that of the query less that of the key.
  const auto code_of = [&](int token) { return spots[token].code; };
  const int centre = (args.window - 1) * (codes + 1);
  float bias[Whole ? Keys / 8 : 1][4];
  if constexpr (Whole) {
    // Rows past the window are padding; their results are not stored.
    const int rows_code[2] = {code_of(min(lane_row, count - 1)) + centre,
                              code_of(min(lane_row + 8, count - 1)) + centre};
#pragma unroll
    for (int n = 0; n < Keys / 8; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int key = n * 8 + lane_key + i % 2;
        const float relative = table[rows_code[i / 2] - code_of(min(key, count - 1))];
        bias[n][i] = key < count ? relative : -INFINITY;
      }
    }
  }

  int buffer = 0;
  for (int left = args.each - 1;; --left) {
    T* const queries = tiles + buffer * 3 * rows * kStride;
    const T* const keys = queries + rows * kStride;
    const T* const values = keys + rows * kStride;
    const Token* const tokens = all_tokens + buffer * rows;
    const bool mixed = place.mixed(args.shift);
    T* const y = args.y.data + place.map.begin * args.y.stride + head * args.y.cols;
    const bool more = left > 0 && place.advance(args);
    finish_copies();
    // Also: every warp is done with the other buffer.
    __syncthreads();
    if (args.buffers == 2) {
      buffer = 1 - buffer;
      if (more) start(buffer);
    }

    for (int first = 0; first + lane_row < round_up(count, 16); first += threads / 2) {
      const int warp_row = first + lane_row - lane_id() / 4;
      T* const mine = queries + warp_row * kStride;
      Flash<T, Dim, Dim, Keys> flash;
      flash.begin(1.0F / root);
      if constexpr (Whole) {
        float scores[Keys / 8][4];
#pragma unroll
        for (int n = 0; n < Keys / 8; ++n) {
#pragma unroll
          for (int i = 0; i < 4; ++i) scores[n][i] = bias[n][i];
        }
        add_products<T, Dim, Keys>(scores, mine, keys);
        if (mixed) {
          const int upper = tokens[lane_row].region;
          const int lower = tokens[lane_row + 8].region;
#pragma unroll
          for (int n = 0; n < Keys / 8; ++n) {
#pragma unroll
            for (int i = 0; i < 4; ++i) {
              const int region = tokens[n * 8 + lane_key + i % 2].region;
              if (region != (i < 2 ? upper : lower)) scores[n][i] += masked;
            }
          }
        }
        flash.template add_scores<true>(scores, values, kStride);
      } else {
        int code[2];
        int region[2];
#pragma unroll
        for (int r = 0; r < 2; ++r) {
          code[r] = code_of(min(first + lane_row + 8 * r, count - 1)) + centre;
          region[r] = tokens[first + lane_row + 8 * r].region;
        }
#pragma unroll 1
        for (int first_key = 0; first_key < count; first_key += Keys) {
          flash.add(mine, keys + first_key * kStride, values + first_key * kStride, kStride,
                    [&](int row, int key, float product) {
                      const int k = first_key + key;
                      if (k >= count) return -INFINITY;
                      const float score = product + table[code[row / 8] - code_of(k)];
                      return mixed && region[row / 8] != tokens[k].region ? score + masked : score;
                    });
        }
      }
      flash.finish();
      __syncwarp();
      store_totals<T, Dim>(flash.totals, {flash.share(0), flash.share(1)}, mine, kStride);
      __syncwarp();
      if (args.y.wide && args.y.cols == Dim) {
#pragma unroll
        for (int r = 0; r < 16; r += static_cast<int>(kWarp) / kPieces) {
          const int own = r + lane_id() / kPieces;
          const std::int32_t row = tokens[warp_row + own].row;
          if (row < 0) continue;
          *reinterpret_cast<uint4*>(y + static_cast<std::int64_t>(row) * y_stride + own_column) =
              *reinterpret_cast<const uint4*>(mine + own * kStride + own_column);
        }
        continue;
      }
      copy_from_tile<T, Dim>(
          mine, 16, args.y.cols, args.y.wide, lane_id(), static_cast<int>(kWarp), [&](int r) -> T* {
            const std::int32_t row = tokens[warp_row + r].row;
            return row < 0 ? nullptr : y + static_cast<std::int64_t>(row) * y_stride;
          });
    }
    if (!more) return;
    if (args.buffers == 1) {
      __syncthreads();
      start(0);
    }
  }
}

template <class T, int Dim, int Keys, bool Whole>
void run(Stream stream, const WindowAttentionParams& params, WindowArgs<T> args) {
  const int count = params.window * params.window;
  const int rows = tile_rows<Keys, Whole>(count);
  const int codes = 2 * params.window - 1;
  const std::size_t buffer =
      static_cast<std::size_t>(rows) * (3 * tile_stride<T>(Dim) * sizeof(T) + sizeof(Token));
  constexpr std::size_t kTwoBuffers = std::size_t{40} << 10;
  args.buffers = buffer <= kTwoBuffers ? 2 : 1;
  const std::size_t shared = static_cast<std::size_t>(args.buffers) * buffer +
                             static_cast<std::size_t>(rows) * sizeof(Spot) +
                             static_cast<std::size_t>(codes * codes) * sizeof(float);
  // Several windows share what a block prepares, but not so many that multiprocessors run empty.
  const std::int64_t each = ceil_div(params.windows * params.heads, params.blocks);
  args.each = static_cast<int>(each < kMaxEach ? each : kMaxEach);
  const std::int64_t blocks = ceil_div(params.windows, args.each) * params.heads;
  const int warps = min(round_up(count, 16) / 16, kMaxWarps);
  launch("window_attention", window_attention_kernel<T, Dim, Keys, Whole>,
         dim3{static_cast<unsigned>(blocks), 1, 1},
         dim3{static_cast<unsigned>(warps) * kWarp, 1, 1}, shared, stream, args);
}

}  // namespace

void launch_window_attention(Stream stream, const WindowAttentionParams& params) {
  if (params.windows == 0) return;
  const std::int64_t head_dim = params.y.cols / params.heads;
  const int count = params.window * params.window;
  dispatch_float(params.qkv.dtype, [&](auto tag) {
    using T = decltype(tag);
    const WindowArgs<T> args{block_of<T>(params.qkv, head_dim),
                             block_of<T>(params.y, head_dim),
                             params.qkv_bias,
                             params.bias,
                             params.maps,
                             params.map_count,
                             1,
                             1,
                             params.window,
                             params.shift,
                             params.heads};
    const auto run_sized = [&](auto size) {
      constexpr int kDim = decltype(size)::value;
      if (count <= 56) return run<T, kDim, 56, true>(stream, params, args);
      if (count <= 64) return run<T, kDim, 64, true>(stream, params, args);
      // 12 x 12 tokens are three chunks of 48.
      run<T, kDim, 48, false>(stream, params, args);
    };
    if (head_dim <= 32) return run_sized(std::integral_constant<int, 32>());
    if (head_dim <= 64) return run_sized(std::integral_constant<int, 64>());
    constexpr int kInvalidValue = 1;  // cudaErrorInvalidValue
    throw_launch_error(kInvalidValue, "window_attention");
  });
}

}  // namespace itemcrop::cuda::kernels
