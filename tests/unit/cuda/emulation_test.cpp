// The emulation itself, and products by every way that operands can be loaded.
#include <vector>

#include <gtest/gtest.h>

#include "backend/cuda/emulation/fiber.h"
#include "backend/cuda/kernels/flash.cuh"
#include "backend/cuda/kernels/mma.cuh"
#include "unit/cuda/rig.h"

namespace itemcrop::test {
namespace {

using namespace cuda::kernels;

/// c[0] = a b for b given by columns, c[1] for b given by rows, c[2] as c[0] by shuffles (fp32).
template <class T>
__global__ void product_kernel(const T* a, const T* columns, const T* rows, float* c) {
  FragmentA<T> left;
  FragmentB<T> right[2][2];
  load_a(left, a, tile_stride<T>(16));
  load_b(right[0], columns, tile_stride<T>(16));
  load_b_rows(right[1], rows, tile_stride<T>(16));
  for (int way = 0; way < 3; ++way) {
    for (int n = 0; n < 2; ++n) {
      float sums[4] = {1, 1, 1, 1};
      if constexpr (sizeof(T) == 4) {
        if (way == 2) multiply_by_shuffles(sums, left, right[0][n]);
      }
      if (way < 2) multiply(sums, left, right[way][n]);
      for (int i = 0; i < 4; ++i) {
        const int row = lane_id() / 4 + 8 * (i / 2);
        const int column = 8 * n + 2 * (lane_id() % 4) + i % 2;
        c[way * 256 + row * 16 + column] = sums[i];
      }
    }
  }
}

TEST(Mma, EveryWayOfLoading) {
  Draw draw(71);
  for (const DType dtype : kTypes) {
    Values a = draw.values(16, 16);
    Values b = draw.values(16, 16);
    dispatch_float(dtype, [&](auto tag) {
      using T = decltype(tag);
      constexpr int kStride = tile_stride<T>(16);
      struct alignas(16) Tiles {
        T a[16 * kStride], columns[16 * kStride], rows[16 * kStride];
      };
      const auto tiles = std::make_unique<Tiles>();
      for (int r = 0; r < 16; ++r) {
        for (int k = 0; k < 16; ++k) {
          from_float(a.at(r, k), tiles->a[r * kStride + k]);
          a.at(r, k) = to_float(tiles->a[r * kStride + k]);
          from_float(b.at(r, k), tiles->rows[r * kStride + k]);
          b.at(r, k) = to_float(tiles->rows[r * kStride + k]);
          tiles->columns[k * kStride + r] = tiles->rows[r * kStride + k];
        }
      }
      std::vector<float> c(3 * 256);
      launch("product", product_kernel<T>, dim3{1, 1, 1}, dim3{32, 1, 1}, 0, nullptr, tiles->a,
             tiles->columns, tiles->rows, c.data());
      for (int way = 0; way < (dtype == DType::kF32 ? 3 : 2); ++way) {
        for (int r = 0; r < 16; ++r) {
          for (int n = 0; n < 16; ++n) {
            float sum = 1;
            for (int k = 0; k < 16; ++k) sum += a.at(r, k) * b.at(k, n);
            ASSERT_NEAR(c[static_cast<std::size_t>(way * 256 + r * 16 + n)], sum, 1e-5F) << way;
          }
        }
      }
    });
  }
}

__global__ void divergent_barrier_kernel() {
  if (threadIdx.x != 5) __syncthreads();
}
__global__ void divergent_warp_kernel() {
  if (threadIdx.x != 5) __syncwarp();
}
__global__ void race_kernel(float* y) {
  __shared__ float shared[64];
  shared[threadIdx.x] = static_cast<float>(threadIdx.x);
  y[threadIdx.x] = shared[63 - threadIdx.x];
}

// The tests of kernels are worth what the emulation notices.
TEST(Emulation, NoticesWhatAGpuWouldHangOn) {
  const dim3 one{1, 1, 1};
  const dim3 block{64, 1, 1};
  EXPECT_THROW(launch("barrier", divergent_barrier_kernel, one, block, 0, nullptr),
               std::logic_error);
  EXPECT_THROW(launch("warp", divergent_warp_kernel, one, block, 0, nullptr), std::logic_error);
  EXPECT_THROW(launch("shared", race_kernel, one, block, std::size_t{1} << 20, nullptr, nullptr),
               std::logic_error);
}

TEST(Emulation, RacesDependOnTheOrder) {
  std::vector<float> forward(64);
  std::vector<float> backward(64);
  launch("race", race_kernel, dim3{1, 1, 1}, dim3{64, 1, 1}, 0, nullptr, forward.data());
  cuda::emulation::order = cuda::emulation::Order::kBackward;
  launch("race", race_kernel, dim3{1, 1, 1}, dim3{64, 1, 1}, 0, nullptr, backward.data());
  cuda::emulation::order = cuda::emulation::Order::kForward;
  EXPECT_NE(forward, backward);
}

TEST(Emulation, AFiberCannotWriteBelowItsStack) {
  cuda::emulation::Fiber fiber;
  const cuda::emulation::Fiber neighbour;  // mapped below, where the system has room
  const auto write_below = [](void* self) {
    volatile char* const here = static_cast<char*>(__builtin_frame_address(0));
    here[-(std::ptrdiff_t{256} << 10)] = 1;
    static_cast<cuda::emulation::Fiber*>(self)->suspend();
  };
  fiber.start(write_below, &fiber);
  EXPECT_DEATH(fiber.resume(), "");
}

}  // namespace
}  // namespace itemcrop::test
