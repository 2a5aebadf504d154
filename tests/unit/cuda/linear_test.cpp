#include "backend/cuda/kernels/linear.h"

#include <cmath>

#include <gtest/gtest.h>

#include "unit/cuda/rig.h"

namespace itemcrop::test {
namespace {

using namespace cuda::kernels;

struct Case {
  std::int64_t rows, inputs, outputs;
  bool more, before, residual, after;
  ops::Activation activation;
  bool exact_output;  ///< y in fp32
};

void check(const Case& c, DType dtype, Draw& draw) {
  Rig rig;
  Reference reference;
  Values x = draw.values(c.rows, c.inputs, 2, 0.5F);
  Values more = draw.values(c.rows, c.inputs);
  Values residual = draw.values(c.rows, c.outputs);
  Values weight = draw.values(c.outputs, c.inputs, 1.5F / std::sqrt(static_cast<float>(c.inputs)));
  Values bias = draw.values(1, c.outputs);
  const Values norm_weight = draw.values(1, std::max(c.inputs, c.outputs), 0.3F, 1);
  const Values norm_bias = draw.values(1, std::max(c.inputs, c.outputs), 0.3F);
  const float* device_weight = rig.table(norm_weight);
  const float* device_bias = rig.table(norm_bias);
  const Matrix y = rig.output(c.rows, c.outputs, c.exact_output ? DType::kF32 : dtype);
  const LinearParams params{.x = rig.matrix(x, dtype),
                            .more = c.more ? rig.matrix(more, dtype) : Matrix{},
                            .before = {c.before ? device_weight : nullptr, device_bias, 1e-5F},
                            .weight = rig.matrix(weight, dtype),
                            .bias = rig.matrix(bias, DType::kF32),
                            .activation = c.activation,
                            .residual = c.residual ? rig.matrix(residual, dtype) : Matrix{},
                            .after = {c.after ? device_weight : nullptr, device_bias, 1e-6F},
                            .y = y};
  ASSERT_TRUE(linear_fits(params));
  rig.run([&] { launch_linear(nullptr, params); });

  const auto norm_of = [&](std::int64_t cols, float epsilon) {
    const auto cut = [&](const Values& all) {
      return Values{1, cols, {all.data.begin(), all.data.begin() + cols}};
    };
    return reference.norm(cut(norm_weight), cut(norm_bias), epsilon);
  };
  const ops::Norm before = norm_of(c.inputs, 1e-5F);
  const ops::Norm after = norm_of(c.outputs, 1e-6F);
  const Matrix input = reference.matrix(x);
  if (c.more) reference.executor().add(input, reference.matrix(more), input);
  const Matrix expected = reference.output(c.rows, c.outputs);
  const auto linear = reference.linear(weight, &bias);
  reference.executor().linear(input, *linear, expected,
                              {.activation = c.activation,
                               .norm_before = c.before ? &before : nullptr,
                               .residual = c.residual ? reference.matrix(residual) : Matrix{},
                               .norm_after = c.after ? &after : nullptr});
  expect_close(Rig::read(y), reference.read(expected), tolerance(dtype),
               std::to_string(c.inputs) + " to " + std::to_string(c.outputs));
}

TEST(Linear, MatchesReference) {
  Draw draw(95);
  using enum ops::Activation;
  for (const DType dtype : {DType::kF16, DType::kBF16}) {
    check({140, 256, 96, true, false, false, false, kNone, true}, dtype, draw);
    check({33, 256, 256, false, false, true, true, kNone, false}, dtype, draw);
    check({50, 96, 288, false, true, false, false, kNone, false}, dtype, draw);
    check({7, 64, 40, true, true, true, true, kRelu, false}, dtype, draw);
    check({20, 128, 8, false, false, true, false, kGelu, false}, dtype, draw);
    check({129, 192, 72, false, true, false, true, kNone, false}, dtype, draw);
  }
}

TEST(Linear, InPlace) {
  Draw draw(96);
  Rig rig;
  Reference reference;
  Values x = draw.values(40, 64);
  Values weight = draw.values(64, 64, 0.1F);
  const Matrix device_x = rig.matrix(x, DType::kF16);
  const LinearParams params{.x = device_x,
                            .more = {},
                            .weight = rig.matrix(weight, DType::kF16),
                            .bias = {},
                            .residual = device_x,
                            .y = device_x};
  rig.run([&] { launch_linear(nullptr, params); });
  const Matrix expected = reference.matrix(x);
  const auto linear = reference.linear(weight, nullptr);
  reference.executor().linear(expected, *linear, expected, {.residual = expected});
  expect_close(Rig::read(device_x), reference.read(expected), tolerance(DType::kF16), "in place");
}

}  // namespace
}  // namespace itemcrop::test
