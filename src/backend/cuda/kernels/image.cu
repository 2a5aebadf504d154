// From 8-bit pixels to normalised patches: Pillow's bilinear resize in two passes, bit for bit.
#include "backend/cuda/kernels/device.cuh"
#include "backend/cuda/kernels/image.h"

namespace itemcrop::cuda::kernels {
namespace {

constexpr int kThreads = 256;
constexpr int kStripColumns = 128;  ///< of resized pixels a block of the second pass
constexpr int kPrecisionBits = 22;
constexpr std::int32_t kHalf = 1 << (kPrecisionBits - 1);

struct Pixel {
  std::uint8_t channels[3];
};

/// Place `place` of an edge, from pixels `step` bytes apart, which an earlier kernel may have
/// written.
__device__ inline Pixel blend(const ImageEdge& edge, const std::uint8_t* pixels, std::int64_t step,
                              int place) {
  Pixel result;
  if (edge.from == edge.to) {
    const std::uint8_t* at = pixels + place * step;
#pragma unroll
    for (int c = 0; c < 3; ++c) result.channels[c] = at[c];
    return result;
  }
  const std::int32_t begin = __ldg(edge.spans + 2 * place);
  const std::int32_t count = __ldg(edge.spans + 2 * place + 1);
  const std::int32_t* weights = edge.weights + static_cast<std::int64_t>(place) * edge.taps;
  std::int32_t sums[3] = {kHalf, kHalf, kHalf};
  const std::uint8_t* at = pixels + begin * step;
  for (int i = 0; i < count; ++i) {
    const std::int32_t weight = __ldg(weights + i);
#pragma unroll
    for (int c = 0; c < 3; ++c) sums[c] += at[c] * weight;
    at += step;
  }
#pragma unroll
  for (int c = 0; c < 3; ++c) {
    const std::int32_t value = sums[c] >> kPrecisionBits;
    result.channels[c] = static_cast<std::uint8_t>(value < 0 ? 0 : value > 255 ? 255 : value);
  }
  return result;
}

/// The first pass: a pixel a thread. Bytes: the image, and what is written. Operations: 6 a tap.
__global__ void __launch_bounds__(kThreads) first_pass_kernel(Image image, int width, int blocks) {
  await_predecessor();
  const int row = static_cast<int>(blockIdx.x) / blocks;
  const int column =
      static_cast<int>(blockIdx.x) % blocks * kThreads + static_cast<int>(threadIdx.x);
  if (column >= width) return;
  const Pixel pixel = image.rows_first != 0
                          ? blend(image.rows, image.pixels + static_cast<std::int64_t>(column) * 3,
                                  image.stride, row)
                          : blend(image.columns, image.pixels + row * image.stride, 3, column);
  std::uint8_t* to = image.between + (static_cast<std::int64_t>(row) * width + column) * 3;
#pragma unroll
  for (int c = 0; c < 3; ++c) to[c] = pixel.channels[c];
}

/// The second pass: a strip of neighbouring patches a block, put together in shared memory so that
/// rows of patches are written in one go. Bytes: what the first pass wrote, and y.
__global__ void __launch_bounds__(kThreads)
    second_pass_kernel(Image image, View y, int patches_across, int patches_a_block, int blocks) {
  await_predecessor();
  auto* const strip = reinterpret_cast<float*>(dynamic_shared());
  const int patch = image.patch;
  const int area = patch * patch;
  const int patch_row = static_cast<int>(blockIdx.x) / blocks;
  const int first_patch = static_cast<int>(blockIdx.x) % blocks * patches_a_block;
  const int count = patches_across - first_patch < patches_a_block ? patches_across - first_patch
                                                                   : patches_a_block;
  const int strip_width = count * patch;
  for (int i = static_cast<int>(threadIdx.x); i < strip_width * patch; i += kThreads) {
    const int row = patch_row * patch + i / strip_width;
    const int place = i % strip_width;
    const int column = first_patch * patch + place;
    float values[3] = {0, 0, 0};
    if (row < image.rows.to && column < image.columns.to) {
      const Pixel pixel =
          image.rows_first != 0
              ? blend(image.columns,
                      image.between + static_cast<std::int64_t>(row) * image.columns.from * 3, 3,
                      column)
              : blend(image.rows, image.between + static_cast<std::int64_t>(column) * 3,
                      static_cast<std::int64_t>(image.columns.to) * 3, row);
#pragma unroll
      for (int c = 0; c < 3; ++c) {
        values[c] = static_cast<float>(pixel.channels[c]) * image.scale[c] + image.shift[c];
      }
    }
    float* to = strip + place / patch * 3 * area + i / strip_width * patch + place % patch;
#pragma unroll
    for (int c = 0; c < 3; ++c) to[c * area] = values[c];
  }
  __syncthreads();
  const int cols = 3 * area;
  const int vectors = (cols + kVector - 1) / kVector;
  const std::int64_t first_row =
      static_cast<std::int64_t>(patch_row) * patches_across + first_patch;
  for (int i = static_cast<int>(threadIdx.x); i < count * vectors; i += kThreads) {
    const int r = i / vectors;
    const int col = i % vectors * kVector;
    float values[kVector];
#pragma unroll
    for (int j = 0; j < kVector; ++j) values[j] = col + j < cols ? strip[r * cols + col + j] : 0.0F;
    store_vector(y, first_row + r, col, values);
  }
}

}  // namespace

void launch_image_patches(Stream stream, const ImagePatchesParams& params) {
  const Image& image = params.image;
  if (params.y.rows == 0) return;
  const int width = image.rows_first != 0 ? image.columns.from : image.columns.to;
  const int height = image.rows_first != 0 ? image.rows.to : image.rows.from;
  const int first_blocks = static_cast<int>(ceil_div(width, kThreads));
  launch("image first pass", first_pass_kernel,
         dim3{static_cast<unsigned>(first_blocks) * static_cast<unsigned>(height), 1, 1},
         dim3{kThreads, 1, 1}, 0, stream, image, width, first_blocks);

  const int patches_across = static_cast<int>(ceil_div(image.columns.to, image.patch));
  const int patches_down = static_cast<int>(ceil_div(image.rows.to, image.patch));
  const int a_block = image.patch < kStripColumns ? kStripColumns / image.patch : 1;
  const int blocks = static_cast<int>(ceil_div(patches_across, a_block));
  const std::size_t shared =
      static_cast<std::size_t>(a_block * 3 * image.patch * image.patch) * sizeof(float);
  launch("image second pass", second_pass_kernel,
         dim3{static_cast<unsigned>(blocks) * static_cast<unsigned>(patches_down), 1, 1},
         dim3{kThreads, 1, 1}, shared, stream, image, view_of(params.y), patches_across, a_block,
         blocks);
}

}  // namespace itemcrop::cuda::kernels
