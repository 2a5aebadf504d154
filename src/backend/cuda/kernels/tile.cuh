#pragma once

// Tiles of matrices in shared memory: copies with 16-byte accesses, and layer norm on the way.

#include "backend/cuda/kernels/device.cuh"

namespace itemcrop::cuda::kernels {

/// Values from one row of a tile in shared memory to the next, for rows of `cols`: 16 bytes more,
/// so that eight rows lie in different banks.
template <class T>
constexpr int tile_stride(int cols) {
  return cols + 16 / static_cast<int>(sizeof(T));
}

/// Two neighbouring values, the first at an even place of an aligned row.
template <class T>
__device__ inline void store_pair(T* to, float first, float second) {
  if constexpr (sizeof(T) == 2) {
    *reinterpret_cast<std::uint32_t*>(to) = packed_pair<T>(first, second);
  } else {
    from_float(first, to[0]);
    from_float(second, to[1]);
  }
}

/// Some rows and columns of a matrix, for copies to and from tiles.
template <class T>
struct Block {
  T* data;
  std::int64_t stride;
  int cols;
  bool wide;  ///< rows start at multiples of 16 bytes

  __device__ Block from(std::int64_t row) const {
    return {data + row * stride, stride, cols, wide};
  }
};

template <class T>
Block<T> block_of(const Matrix& m, std::int64_t cols) {
  const View view = view_of(m);
  const bool wide = view.wide && cols * static_cast<std::int64_t>(sizeof(T)) % 16 == 0;
  return {static_cast<T*>(m.data), m.stride, static_cast<int>(cols), wide};
}

/// Columns [first, first + 16 bytes) of a row of which `cols` exist.
template <class T>
__device__ inline uint4 load_piece(const T* row, int first, int cols, bool wide) {
  constexpr int kPiece = 16 / static_cast<int>(sizeof(T));
  if (wide && first + kPiece <= cols) return *reinterpret_cast<const uint4*>(row + first);
  T values[kPiece];
#pragma unroll
  for (int i = 0; i < kPiece; ++i) {
    if (first + i < cols) {
      values[i] = row[first + i];
    } else {
      from_float(0.0F, values[i]);
    }
  }
  uint4 piece;
  memcpy(&piece, values, sizeof(piece));
  return piece;
}

/// Starts copies of rows [0, rows) of `Cols` columns to a tile, by `threads` threads of which this
/// is `thread`; finish_copies() and a barrier must follow. row(r) gives the address of row r, or
/// null for zeros; columns past `cols` are zeros.
template <class T, int Cols, class Row>
__device__ inline void start_rows(T* tile, int rows, int cols, bool wide, int thread, int threads,
                                  const Row& row) {
  constexpr int kPiece = 16 / static_cast<int>(sizeof(T));
  constexpr int kPieces = Cols / kPiece;
  for (int i = thread; i < rows * kPieces; i += threads) {
    const int r = i / kPieces;
    const int first = i % kPieces * kPiece;
    const T* from = row(r);
    T* to = tile + r * tile_stride<T>(Cols) + first;
    if (from != nullptr && wide && first + kPiece <= cols) {
      start_copy(to, from + first);
    } else {
      *reinterpret_cast<uint4*>(to) =
          from != nullptr ? load_piece(from, first, cols, wide) : uint4{0, 0, 0, 0};
    }
  }
}

/// The other way; row(r) gives null for rows that are not wanted.
template <class T, int Cols, class Row>
__device__ inline void copy_from_tile(const T* tile, int rows, int cols, bool wide, int thread,
                                      int threads, const Row& row) {
  constexpr int kPiece = 16 / static_cast<int>(sizeof(T));
  constexpr int kPieces = Cols / kPiece;
  for (int i = thread; i < rows * kPieces; i += threads) {
    const int r = i / kPieces;
    const int first = i % kPieces * kPiece;
    T* to = row(r);
    if (to == nullptr || first >= cols) continue;
    const T* from = tile + r * tile_stride<T>(Cols) + first;
    if (wide && first + kPiece <= cols) {
      *reinterpret_cast<uint4*>(to + first) = *reinterpret_cast<const uint4*>(from);
    } else {
      for (int j = 0; j < kPiece && first + j < cols; ++j) to[first + j] = from[j];
    }
  }
}

/// Starts copies of a part of a matrix to a tile, of which `rows` rows exist.
template <class T, int Rows, int Cols>
__device__ inline void start_tile(const Block<const T>& from, std::int64_t row, std::int64_t rows,
                                  int col, T* tile) {
  constexpr int kPiece = 16 / static_cast<int>(sizeof(T));
  constexpr int kPieces = Cols / kPiece;
  for (int i = static_cast<int>(threadIdx.x); i < Rows * kPieces;
       i += static_cast<int>(blockDim.x)) {
    const int r = i / kPieces;
    const int first = i % kPieces * kPiece;
    if (r >= rows) return;
    start_copy(tile + r * tile_stride<T>(Cols) + first,
               from.data + (row + r) * from.stride + col + first);
  }
}

/// Normalises `Each` rows of `x` into a tile with one warp, rows row(0), row(1) and so on. Rows
/// past `count` and columns past x.cols (at most 256) become zeros. Several rows are loaded before
/// the first is needed. `more`: added to x first, or null.
template <class T, int Dim, int Each, class Row>
__device__ inline void normalise_to_tile(const Block<T>& x, int count, const RowNorm& norm, T* tile,
                                         const Row& row, const Block<T>* more = nullptr) {
  constexpr int kPiece = 16 / static_cast<int>(sizeof(T));
  constexpr int kAtOnce = Each >= 16 ? 8 : Each < 4 ? Each : 4;
  static_assert(Each % kAtOnce == 0 && Dim <= 256);
  const int col = static_cast<int>(threadIdx.x % kWarp) * kVector;
#pragma unroll 1
  for (int begin = 0; begin < Each; begin += kAtOnce) {
    float values[kAtOnce][kVector];
    float sums[kAtOnce];
#pragma unroll
    for (int n = 0; n < kAtOnce; ++n) {
      const int r = row(begin + n);
      uint4 pieces[kVector / kPiece];
#pragma unroll
      for (uint4& piece : pieces) piece = {0, 0, 0, 0};
      if (r < count && col < x.cols) {
        const T* from = x.data + r * x.stride;
#pragma unroll
        for (int part = 0; part < kVector / kPiece; ++part) {
          pieces[part] = load_piece(from, col + part * kPiece, x.cols, x.wide);
        }
      }
      T stored[kVector];
      memcpy(stored, pieces, sizeof(pieces));
#pragma unroll
      for (int i = 0; i < kVector; ++i) values[n][i] = to_float(stored[i]);
      if (more != nullptr && more->data != nullptr && r < count && col < x.cols) {
        const T* from = more->data + r * more->stride;
#pragma unroll
        for (int part = 0; part < kVector / kPiece; ++part) {
          pieces[part] = load_piece(from, col + part * kPiece, x.cols, more->wide);
        }
        memcpy(stored, pieces, sizeof(pieces));
#pragma unroll
        for (int i = 0; i < kVector; ++i) values[n][i] += to_float(stored[i]);
      }
    }
    if (norm.weight != nullptr) {
#pragma unroll
      for (int n = 0; n < kAtOnce; ++n) {
        float sum = 0;
#pragma unroll
        for (int i = 0; i < kVector; ++i) sum += values[n][i];
        sums[n] = group_sum<32>(sum);
      }
#pragma unroll
      for (int n = 0; n < kAtOnce; ++n) {
        const float mean = sums[n] / static_cast<float>(x.cols);
        float squares = 0;
#pragma unroll
        for (int i = 0; i < kVector; ++i) {
          values[n][i] -= mean;
          if (col + i < x.cols) squares += values[n][i] * values[n][i];
        }
        sums[n] = group_sum<32>(squares);
      }
      float weight[kVector];
      float bias[kVector];
      load_table(norm.weight, col, x.cols, weight);
      load_table(norm.bias, col, x.cols, bias);
#pragma unroll
      for (int n = 0; n < kAtOnce; ++n) {
        const bool inside = row(begin + n) < count;
        const float scale = 1.0F / sqrtf(sums[n] / static_cast<float>(x.cols) + norm.epsilon);
#pragma unroll
        for (int i = 0; i < kVector; ++i) {
          values[n][i] = inside ? values[n][i] * scale * weight[i] + bias[i] : 0.0F;
        }
      }
    }
    if (col >= Dim) continue;
#pragma unroll
    for (int n = 0; n < kAtOnce; ++n) {
      store_packed(values[n], tile + row(begin + n) * tile_stride<T>(Dim) + col);
    }
  }
}

}  // namespace itemcrop::cuda::kernels
