#include "backend/cuda/kernels/fusion.h"

#include <cmath>

#include <gtest/gtest.h>

#include "backend/cuda/kernels/plan.h"
#include "unit/cuda/planned.h"

namespace itemcrop::test {
namespace {

using namespace cuda::kernels;

void check(int heads, int dim, const std::vector<Segment>& vision_segments,
           const std::vector<int>& tokens, DType dtype, bool wide, Draw& draw) {
  std::vector<Segment> folded;
  std::int64_t columns = 0;
  for (const int count : tokens) {
    folded.push_back({columns, static_cast<std::int64_t>(count) * heads});
    columns += folded.back().rows;
  }
  const std::int64_t rows = vision_segments.back().end();
  Rig rig;
  Reference reference;
  Values vision = draw.values(rows, dim, 2, 1);
  Values keys = draw.values(columns, dim, 1.5F / std::sqrt(static_cast<float>(dim)));
  Values key_bias = draw.values(columns, 1);
  Values values = draw.values(columns, dim);
  const Values weight = draw.values(1, dim, 0.3F, 1);
  const Values bias = draw.values(1, dim, 0.3F);
  const Values output_bias = draw.values(1, dim);
  const Values gamma = draw.values(1, dim);

  const FusionPlan plan =
      plan_fusion(vision_segments, folded, dim, columns, heads, dtype, 132, false);
  const Matrix device_vision = rig.matrix(vision, dtype, wide);
  const Matrix context = rig.output(columns, dim, DType::kF32, wide);
  FusionParams params = planned(rig, plan);
  params.vision = device_vision;
  params.keys = rig.matrix(keys, DType::kF32, wide);
  params.key_bias = rig.matrix(key_bias, DType::kF32);
  params.values = rig.matrix(values, DType::kF32, wide);
  params.context = context;
  params.heads = heads;
  params.norm = {rig.table(weight), rig.table(bias), 1e-5F};
  params.output_bias = rig.table(output_bias);
  params.gamma = rig.table(gamma);
  rig.run([&] {
    launch_folded_fusion(nullptr, params);
    launch_fusion_merge(nullptr, params);
  });

  const ops::Norm norm = reference.norm(weight, bias, 1e-5F);
  const auto reference_bias = reference.constant(output_bias);
  const auto reference_gamma = reference.constant(gamma);
  const Matrix reference_vision = reference.matrix(vision);
  const Matrix expected = reference.output(columns, dim);
  reference.executor().run(ops::FoldedFusion{.vision = reference_vision,
                                             .vision_segments = vision_segments,
                                             .keys = reference.matrix(keys),
                                             .key_bias = reference.matrix(key_bias),
                                             .values = reference.matrix(values),
                                             .context = expected,
                                             .folded_segments = folded,
                                             .heads = heads,
                                             .norm = &norm,
                                             .output_bias = reference_bias.get(),
                                             .gamma = reference_gamma.get()});
  const std::string what = std::string(to_string(dtype)) + ", d " + std::to_string(dim);
  expect_close(Rig::read(device_vision), reference.read(reference_vision), tolerance(dtype),
               what + ", vision");
  expect_close(Rig::read(context), reference.read(expected), tolerance(dtype), what + ", context");
}

TEST(FoldedFusion, MatchesReference) {
  Draw draw(41);
  for (const DType dtype : kTypes) {
    check(4, 256, {{0, 33}, {33, 20}}, {5, 16}, dtype, true, draw);
    check(2, 192, {{0, 33}}, {40}, dtype, true, draw);
    check(4, 64, {{0, 300}, {300, 1}, {301, 65}}, {16, 1, 9}, dtype, true, draw);
    check(1, 64, {{0, 70}}, {40}, dtype, false, draw);
    check(3, 192, {{0, 33}}, {9}, dtype, true, draw);
    check(2, 128, {{0, 70}, {70, 130}}, {70, 3}, dtype, false, draw);
    check(1, 100, {{0, 50}}, {7}, dtype, true, draw);
    check(2, 36, {{0, 50}}, {7}, dtype, false, draw);
  }
}

// More chunks than blocks, some of two samples, and more rows than one tile a chunk.
TEST(FoldedFusion, MatchesReferenceOnManyRows) {
  Draw draw(42);
  check(2, 64, {{0, 4260}, {4260, 4200}, {8460, 8500}}, {3, 18, 16}, DType::kF16, true, draw);
  check(2, 64, {{0, 1984}, {1984, 1984}}, {40, 70}, DType::kF16, true, draw);
}

}  // namespace
}  // namespace itemcrop::test
