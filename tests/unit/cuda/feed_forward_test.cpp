#include "backend/cuda/kernels/feed_forward.h"

#include <cmath>

#include <gtest/gtest.h>

#include "unit/cuda/rig.h"

namespace itemcrop::test {
namespace {

using namespace cuda::kernels;

void check(std::int64_t rows, std::int64_t cols, std::int64_t hidden, ops::Activation activation,
           bool before, bool after, DType dtype, Draw& draw) {
  Rig rig;
  Reference reference;
  Values x = draw.values(rows, cols, 2, 0.5F);
  Values up = draw.values(hidden, cols, 1.5F / std::sqrt(static_cast<float>(cols)));
  Values down = draw.values(cols, hidden, 1.5F / std::sqrt(static_cast<float>(hidden)));
  Values up_bias = draw.values(1, hidden, 0.3F);
  Values down_bias = draw.values(1, cols, 0.3F);
  const Values weight = draw.values(1, cols, 0.3F, 1);
  const Values bias = draw.values(1, cols, 0.3F);
  const Matrix device_x = rig.matrix(x, dtype);
  const float* device_weight = rig.table(weight);
  const float* device_bias = rig.table(bias);
  const FeedForwardParams params{.x = device_x,
                                 .before = {before ? device_weight : nullptr, device_bias, 1e-5F},
                                 .up = rig.matrix(up, dtype),
                                 .up_bias = rig.matrix(up_bias, DType::kF32),
                                 .activation = activation,
                                 .down = rig.matrix(down, dtype),
                                 .down_bias = rig.matrix(down_bias, dtype),
                                 .after = {after ? device_weight : nullptr, device_bias, 1e-6F},
                                 .y = device_x};
  ASSERT_TRUE(feed_forward_fits(params));
  rig.run([&] { launch_feed_forward(nullptr, params); });
  const ops::FeedForwardWeights weights{reference.linear(up, &up_bias),
                                        reference.linear(down, &down_bias), activation};
  const ops::Norm norm_before = reference.norm(weight, bias, 1e-5F);
  const ops::Norm norm_after = reference.norm(weight, bias, 1e-6F);
  const Matrix expected = reference.output(rows, cols);
  reference.executor().feed_forward(reference.matrix(x), weights, before ? &norm_before : nullptr,
                                    after ? &norm_after : nullptr, expected);
  expect_close(Rig::read(device_x), reference.read(expected), tolerance(dtype),
               std::to_string(cols) + " channels");
}

TEST(FeedForward, MatchesReference) {
  Draw draw(91);
  for (const DType dtype : {DType::kF16, DType::kBF16}) {
    check(33, 64, 64, ops::Activation::kNone, false, false, dtype, draw);
    check(270, 96, 96, ops::Activation::kGelu, true, false, dtype, draw);
    check(20, 128, 64, ops::Activation::kGelu, true, true, dtype, draw);
    check(130, 192, 32, ops::Activation::kRelu, false, true, dtype, draw);
    check(7, 192, 96, ops::Activation::kGelu, true, false, dtype, draw);
  }
}

TEST(FeedForward, SaysWhatDoesNotFit) {
  Draw draw(92);
  Rig rig;
  Values x = draw.values(3, 64);
  Values narrow = draw.values(3, 60);
  Values weight = draw.values(64, 64);
  const Matrix half = rig.matrix(x, DType::kF16);
  const Matrix up = rig.matrix(weight, DType::kF16);
  FeedForwardParams params{
      .x = half, .up = up, .up_bias = {}, .down = up, .down_bias = {}, .y = half};
  EXPECT_TRUE(feed_forward_fits(params));
  params.x = rig.matrix(narrow, DType::kF16);
  EXPECT_FALSE(feed_forward_fits(params));
  params.x = rig.matrix(x, DType::kF16, false);
  EXPECT_FALSE(feed_forward_fits(params));
  params.x = rig.matrix(x, DType::kF32);
  EXPECT_FALSE(feed_forward_fits(params));
  params.x = half;
  params.up = up.row_range(0, 40);
  EXPECT_FALSE(feed_forward_fits(params));
}

}  // namespace
}  // namespace itemcrop::test
