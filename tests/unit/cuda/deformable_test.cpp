#include "backend/cuda/kernels/deformable.h"

#include <limits>

#include <gtest/gtest.h>

#include "backend/cuda/kernels/plan.h"
#include "ops/geometry.h"
#include "unit/cuda/rig.h"

namespace itemcrop::test {
namespace {

using namespace cuda::kernels;

const std::vector<ops::Pyramid> kPyramids = {{{{0, 11, 9}, {99, 5, 4}, {119, 3, 2}}},
                                             {{{125, 4, 17}, {193, 2, 8}, {209, 1, 4}}}};
constexpr std::int64_t kRows = 213;

struct Case {
  int heads, head_dim, points;
  bool boxes, wide;
};

/// The reference's projections are the identity and zero, so that what is between them shows: the
/// query holds offsets and weights, and a layer norm of the sum is undone by comparing norms.
void check(const Case& c, DType dtype, Draw& draw) {
  const std::int64_t dim = static_cast<std::int64_t>(c.heads) * c.head_dim;
  const std::int64_t sampling_cols = static_cast<std::int64_t>(c.heads) * 3 * c.points * 3;
  const std::vector<Segment> queries =
      c.boxes ? std::vector<Segment>{{0, 70}, {70, 5}} : std::vector<Segment>{{0, 125}, {125, 88}};
  const std::int64_t rows = queries.back().end();
  Rig rig;
  Reference reference;
  Values query = draw.values(rows, dim);
  const std::int64_t axis_rows = ops::axis_rows(kPyramids);
  Values position{rows, dim, std::vector<float>(static_cast<std::size_t>(rows * dim))};
  if (!c.boxes) position = draw.values(axis_rows, dim);
  const Values weight = draw.values(sampling_cols, dim, 0.7F);
  const Values bias = draw.values(1, sampling_cols);
  Values value = draw.values(kRows, dim);
  Values boxes{rows, 4, {}};
  for (std::int64_t i = 0; i < rows * 4; ++i) boxes.data.push_back(draw.uniform());

  // Sampling as the executor would make it.
  const auto sampling_weight = reference.linear(weight, &bias);
  const Matrix projected = reference.output(rows, sampling_cols);
  reference.executor().run(ops::Linear{reference.matrix(query), *sampling_weight, projected});
  Values sampling = reference.read(projected);
  Matrix axes;
  if (!c.boxes) {
    const Matrix projected_axes = reference.output(axis_rows, sampling_cols);
    reference.executor().run(ops::Linear{reference.matrix(position),
                                         *reference.linear(weight, nullptr), projected_axes});
    Values values = reference.read(projected_axes);
    axes = rig.matrix(values, DType::kF32, c.wide);
  }

  const std::vector<Grid> grids = flatten(kPyramids);
  const auto tiles =
      c.boxes ? deformable_query_tiles(queries) : deformable_cell_tiles(kPyramids, queries);
  const Matrix y = rig.output(rows, dim, dtype, c.wide);
  const DeformableParams params{.sampling = rig.matrix(sampling, DType::kF32, c.wide),
                                .axes = axes,
                                .reference = c.boxes ? rig.matrix(boxes, DType::kF32) : Matrix{},
                                .value = rig.matrix(value, dtype, c.wide),
                                .y = y,
                                .levels = rig.upload(grids),
                                .level_count = 3,
                                .tiles = rig.upload(tiles),
                                .tile_count = static_cast<int>(tiles.size()),
                                .heads = c.heads,
                                .points = c.points};
  rig.run([&] { launch_deformable(nullptr, params); });

  Values identity{dim, dim, std::vector<float>(static_cast<std::size_t>(dim * dim))};
  for (std::int64_t i = 0; i < dim; ++i) identity.at(i, i) = 1;
  const Values ones{1, dim, std::vector<float>(static_cast<std::size_t>(dim), 1.0F)};
  const Values none{1, dim, std::vector<float>(static_cast<std::size_t>(dim))};
  ops::DeformableWeights weights{reference.linear(weight, &bias),
                                 reference.linear(identity, nullptr),
                                 reference.norm(ones, none, 1e-5F)};
  const Matrix expected = reference.output(rows, dim);
  const Matrix reference_query = reference.matrix(query);
  reference.executor().run(
      ops::DeformableAttention{.query = reference_query,
                               .position = reference.matrix(position),
                               .query_segments = queries,
                               .reference = c.boxes ? reference.matrix(boxes) : Matrix{},
                               .value = reference.matrix(value),
                               .pyramids = kPyramids,
                               .heads = c.heads,
                               .points = c.points,
                               .weights = &weights,
                               .output = expected});

  const Matrix actual = reference.matrix(Rig::read(y));
  reference.executor().run(ops::Add{actual, reference_query, actual});
  reference.executor().run(ops::LayerNorm{actual, weights.norm, actual});
  expect_close(reference.read(actual), reference.read(expected), tolerance(dtype),
               std::string(to_string(dtype)) + ", head dimension " + std::to_string(c.head_dim));
}

TEST(Deformable, MatchesReference) {
  Draw draw(21);
  for (const DType dtype : kTypes) {
    for (const bool boxes : {false, true}) {
      check({2, 32, 4, boxes, true}, dtype, draw);
      check({3, 16, 4, boxes, true}, dtype, draw);
      check({2, 8, 2, boxes, true}, dtype, draw);
      check({1, 64, 3, boxes, true}, dtype, draw);
      check({1, 72, 4, boxes, true}, dtype, draw);
      check({2, 12, 1, boxes, true}, dtype, draw);
      check({2, 32, 4, boxes, false}, dtype, draw);
      check({3, 32, 4, boxes, true}, dtype, draw);
    }
  }
}

TEST(Deformable, PointsFarOutsideCountNothing) {
  Rig rig;
  const std::vector<Segment> queries = {{0, 3}};
  const std::vector<Grid> grids = {{0, 2, 2}};
  const float infinity = std::numeric_limits<float>::infinity();
  Values sampling{3, 3, {1e30F, 0, 0, -infinity, 3, 0, std::nanf(""), 0, 0}};
  Values boxes{3, 4, std::vector<float>(12, 0.5F)};
  Values value{4, 8, std::vector<float>(32, 1.0F)};
  const Matrix y = rig.output(3, 8, DType::kF16);
  const auto tiles = deformable_query_tiles(queries);
  const DeformableParams params{.sampling = rig.matrix(sampling, DType::kF32),
                                .axes = {},
                                .reference = rig.matrix(boxes, DType::kF32),
                                .value = rig.matrix(value, DType::kF16),
                                .y = y,
                                .levels = rig.upload(grids),
                                .level_count = 1,
                                .tiles = rig.upload(tiles),
                                .tile_count = static_cast<int>(tiles.size()),
                                .heads = 1,
                                .points = 1};
  rig.run([&] { launch_deformable(nullptr, params); });
  for (const float result : Rig::read(y).data) EXPECT_EQ(result, 0.0F);
}

}  // namespace
}  // namespace itemcrop::test
