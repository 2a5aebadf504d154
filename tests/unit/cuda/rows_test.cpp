#include "backend/cuda/kernels/rows.h"

#include <gtest/gtest.h>

#include "backend/cuda/kernels/norm.h"
#include "backend/cuda/kernels/plan.h"
#include "unit/cuda/rig.h"

namespace itemcrop::test {
namespace {

using namespace cuda::kernels;

/// body(storage type, whether rows are aligned).
template <class Body>
void for_each_storage(const Body& body) {
  for (const DType dtype : kTypes) {
    for (const bool wide : {true, false}) {
      SCOPED_TRACE(std::string(to_string(dtype)) + (wide ? "" : ", unaligned"));
      body(dtype, wide);
    }
  }
}

const std::vector<Grid> kMaps = {{0, 5, 7}, {35, 4, 6}, {59, 1, 1}, {60, 1, 3}};
constexpr std::int64_t kMapRows = 63;

std::vector<Grid> halved(std::span<const Grid> maps) {
  std::vector<Grid> result;
  std::int64_t begin = 0;
  for (const Grid& map : maps) {
    result.push_back({begin, (map.height + 1) / 2, (map.width + 1) / 2});
    begin += result.back().rows();
  }
  return result;
}

TEST(LayerNorm, MatchesReference) {
  Draw draw(1);
  for_each_storage([&](DType dtype, bool wide) {
    for (const int cols : {1, 7, 32, 64, 96, 192, 256, 300, 768, 1024, 1536, 2500}) {
      const std::int64_t rows = draw.between(1, 40);
      Rig rig;
      Reference reference;
      Values x = draw.values(rows, cols, 2, 3);
      const Values weight = draw.values(1, cols);
      const Values bias = draw.values(1, cols);
      const Matrix device_x = rig.matrix(x, dtype, wide);
      const Matrix y = rig.output(rows, cols, dtype, wide);
      const LayerNormParams params{.x = device_x,
                                   .residual = {},
                                   .sum = {},
                                   .weight = rig.table(weight),
                                   .bias = rig.table(bias),
                                   .epsilon = 1e-5F,
                                   .y = y};
      rig.run([&] { launch_layer_norm(nullptr, params); });
      const Matrix expected = reference.output(rows, cols);
      const ops::Norm norm = reference.norm(weight, bias, 1e-5F);
      reference.executor().run(ops::LayerNorm{reference.matrix(x), norm, expected});
      expect_close(Rig::read(y), reference.read(expected), tolerance(dtype),
                   std::to_string(cols) + " columns");
    }
  });
}

TEST(LayerNorm, AddsResidualAndKeepsSum) {
  Draw draw(2);
  for_each_storage([&](DType dtype, bool wide) {
    Rig rig;
    Reference reference;
    Values x = draw.values(37, 200);
    Values residual = draw.values(37, 200);
    const Values weight = draw.values(1, 200);
    const Values bias = draw.values(1, 200);
    const Matrix device_x = rig.matrix(x, dtype, wide);
    const Matrix device_residual = rig.matrix(residual, DType::kF32);
    const float* device_weight = rig.table(weight);
    const float* device_bias = rig.table(bias);
    const Matrix y = rig.output(37, 200, dtype, wide);
    rig.run([&] {
      launch_layer_norm(nullptr, {.x = device_x,
                                  .residual = device_residual,
                                  .sum = device_x,
                                  .weight = device_weight,
                                  .bias = device_bias,
                                  .epsilon = 1e-6F,
                                  .y = y});
    });
    const Matrix sum = reference.output(37, 200);
    const Matrix expected = reference.output(37, 200);
    const ops::Norm norm = reference.norm(weight, bias, 1e-6F);
    reference.executor().run(ops::Add{reference.matrix(x), reference.matrix(residual), sum});
    reference.executor().run(ops::LayerNorm{sum, norm, expected});
    expect_close(Rig::read(device_x), reference.read(sum), tolerance(dtype), "sum");
    expect_close(Rig::read(y), reference.read(expected), tolerance(dtype), "norm");
  });
}

TEST(GroupNorm, MatchesReference) {
  Draw draw(3);
  for_each_storage([&](DType dtype, bool wide) {
    for (const auto& [groups, cols] : {std::pair{32, 256}, {32, 192}, {4, 20}, {1, 8}}) {
      const std::vector<Segment> from = {{0, 300}, {300, 1}, {301, 128}};
      const std::vector<Segment> to = {{129, 300}, {128, 1}, {0, 128}};
      Rig rig;
      Reference reference;
      Values x = draw.values(429, cols, 3, 1);
      const Values weight = draw.values(1, cols);
      const Values bias = draw.values(1, cols);
      const GroupNormPlan plan = plan_group_norm(from, to, groups);
      const Matrix device_x = rig.matrix(x, dtype, wide);
      const Matrix y = rig.output(429, cols, dtype, wide);
      const GroupNormParams params{
          .x = device_x,
          .y = y,
          .segments = rig.upload(plan.segments),
          .segment_count = static_cast<int>(plan.segments.size()),
          .tiles = rig.upload(plan.tiles),
          .tile_count = static_cast<int>(plan.tiles.size()),
          .groups = groups,
          .weight = rig.table(weight),
          .bias = rig.table(bias),
          .epsilon = 1e-5F,
          .workspace = static_cast<float*>(rig.workspace(plan.workspace_bytes))};
      rig.run([&] { launch_group_norm(nullptr, params); });
      const Matrix expected = reference.output(429, cols);
      const ops::Norm norm = reference.norm(weight, bias, 1e-5F);
      reference.executor().run(
          ops::GroupNorm{reference.matrix(x), from, groups, norm, expected, to});
      expect_close(Rig::read(y), reference.read(expected), tolerance(dtype), "group norm");
    }
  });
}

TEST(PatchMerge, MatchesReference) {
  Draw draw(4);
  for_each_storage([&](DType dtype, bool wide) {
    for (const int cols : {6, 24, 64, 96, 192}) {
      const std::vector<Grid> to = halved(kMaps);
      const std::int64_t rows = to.back().begin + to.back().rows();
      Rig rig;
      Reference reference;
      Values x = draw.values(kMapRows, cols);
      const Values weight = draw.values(1, 4 * cols);
      const Values bias = draw.values(1, 4 * cols);
      const std::vector<Tile> tiles = tiles_of(to, kMergeTileRows);
      const Matrix device_x = rig.matrix(x, dtype, wide);
      const Matrix y = rig.output(rows, 4 * cols, dtype, wide);
      const PatchMergeParams params{.x = device_x,
                                    .y = y,
                                    .from = rig.upload(kMaps),
                                    .to = rig.upload(to),
                                    .tiles = rig.upload(tiles),
                                    .tile_count = static_cast<int>(tiles.size()),
                                    .weight = rig.table(weight),
                                    .bias = rig.table(bias),
                                    .epsilon = 1e-5F};
      rig.run([&] { launch_patch_merge(nullptr, params); });

      // The reference's product with the identity.
      Values identity{4 * cols, 4 * cols, std::vector<float>(16UL * cols * cols)};
      for (int i = 0; i < 4 * cols; ++i) identity.at(i, i) = 1;
      const Matrix expected = reference.output(rows, 4 * cols);
      const ops::Norm norm = reference.norm(weight, bias, 1e-5F);
      reference.executor().run(ops::PatchMerge{reference.matrix(x), kMaps, norm,
                                               *reference.linear(identity, nullptr), expected, to});
      expect_close(Rig::read(y), reference.read(expected), tolerance(dtype), "merged");
    }
  });
}

TEST(Unfold, MatchesReference) {
  Draw draw(5);
  for_each_storage([&](DType dtype, bool wide) {
    for (const int cols : {3, 16}) {
      const std::vector<Grid> to = halved(kMaps);
      const std::int64_t rows = to.back().begin + to.back().rows();
      Rig rig;
      Reference reference;
      Values x = draw.values(kMapRows, cols);
      const std::vector<Tile> tiles = tiles_of(to, kUnfoldTileRows);
      const Matrix device_x = rig.matrix(x, dtype, wide);
      const Matrix y = rig.output(rows, 9 * cols, dtype, wide);
      const UnfoldParams params{.x = device_x,
                                .y = y,
                                .from = rig.upload(kMaps),
                                .to = rig.upload(to),
                                .tiles = rig.upload(tiles),
                                .tile_count = static_cast<int>(tiles.size())};
      rig.run([&] { launch_unfold_3x3_stride2(nullptr, params); });
      Values identity{9 * cols, 9 * cols, std::vector<float>(81UL * cols * cols)};
      for (int i = 0; i < 9 * cols; ++i) identity.at(i, i) = 1;
      const Matrix expected = reference.output(rows, 9 * cols);
      reference.executor().run(ops::Convolve3x3Stride2{
          reference.matrix(x), kMaps, *reference.linear(identity, nullptr), expected, to});
      expect_close(Rig::read(y), reference.read(expected), 1e-7F, "unfolded");
    }
  });
}

TEST(Rows, AddAndScale) {
  Draw draw(6);
  for_each_storage([&](DType dtype, bool wide) {
    Rig rig;
    Reference reference;
    Values a = draw.values(19, 45);
    Values b = draw.values(19, 45);
    const Values scale = draw.values(1, 45);
    const Matrix device_a = rig.matrix(a, dtype, wide);
    const Matrix device_b = rig.matrix(b, DType::kF32, wide);
    const float* device_scale = rig.table(scale);
    const Matrix y = rig.output(19, 45, dtype, wide);
    rig.run([&] {
      launch_add(nullptr, {.a = device_a, .b = device_b, .y = y, .scale = nullptr});
      launch_add(nullptr, {.a = y, .b = device_b, .y = y, .scale = device_scale});
    });
    const Matrix expected = reference.output(19, 45);
    reference.executor().run(ops::Add{reference.matrix(a), reference.matrix(b), expected});
    reference.executor().run(
        ops::AddScaled{expected, *reference.constant(scale), reference.matrix(b), expected});
    expect_close(Rig::read(y), reference.read(expected), tolerance(dtype), "sum");
  });
}

TEST(Rows, EpilogueIsExact) {
  Draw draw(7);
  for_each_storage([&](DType dtype, bool wide) {
    for (const auto activation :
         {ops::Activation::kNone, ops::Activation::kRelu, ops::Activation::kGelu}) {
      Rig rig;
      Reference reference;
      Values x = draw.values(23, 50);
      Values residual = draw.values(23, 50);
      const Values bias = draw.values(1, 50);
      const Matrix device_x = rig.matrix(x, dtype, wide);
      const Matrix device_residual = rig.matrix(residual, dtype, wide);
      const float* device_bias = rig.table(bias);
      const Matrix y = rig.output(23, 50, dtype, wide);
      rig.run([&] {
        launch_epilogue(nullptr, {.x = device_x,
                                  .bias = device_bias,
                                  .activation = activation,
                                  .residual = device_residual,
                                  .y = y});
      });
      Values identity{50, 50, std::vector<float>(2500)};
      for (int i = 0; i < 50; ++i) identity.at(i, i) = 1;
      const Matrix expected = reference.output(23, 50);
      reference.executor().run(
          ops::Linear{reference.matrix(x),
                      *reference.linear(identity, &bias),
                      expected,
                      {.activation = activation, .residual = reference.matrix(residual)}});
      expect_close(Rig::read(y), reference.read(expected), tolerance(dtype, 1e-6F), "epilogue");
    }
  });
}

TEST(Rows, CopyGatherDotEmbed) {
  Draw draw(8);
  for_each_storage([&](DType dtype, bool wide) {
    for (const int cols : {1, 13, 64, 500}) {
      Rig rig;
      Reference reference;
      Values x = draw.values(31, cols);
      const Values vector = draw.values(1, cols);
      const Matrix device_x = rig.matrix(x, dtype, wide);
      const Matrix copied = rig.output(30, cols, DType::kF32, wide);
      const Matrix back = rig.output(30, cols, dtype, wide);
      const Matrix gathered = rig.output(5, cols, DType::kF16, wide);
      const Matrix dots = rig.output(31, 1, DType::kF32, wide);
      const Matrix embedded = rig.output(4, cols, dtype, wide);
      const std::vector<std::int32_t> rows = {30, 0, 7, 7, 12};
      const std::vector<std::int32_t> ids = {3, 0, 30, 8};
      const std::vector<std::int32_t> positions = {0, 1, 2, 0};
      const Matrix indices = rig.indices(rows);
      const Matrix indices_copy = rig.output(5, 1, DType::kI32);
      const float* device_vector = rig.table(vector);
      const EmbedParams embed{.ids = rig.upload(ids),
                              .position_ids = rig.upload(positions),
                              .words = rig.table(x),
                              .positions = rig.table(x),
                              .types = device_vector,
                              .y = embedded};
      rig.run([&] {
        launch_copy(nullptr, {device_x, copied});
        launch_copy(nullptr, {copied, back});
        launch_copy(nullptr, {indices, indices_copy});
        launch_gather(nullptr, {device_x, indices, gathered});
        launch_dot_rows(nullptr, {device_x, device_vector, dots});
        launch_embed(nullptr, embed);
      });
      const Matrix reference_x = reference.matrix(x);
      const Values read_back = Rig::read(back);
      for (std::size_t i = 0; i < read_back.data.size(); ++i) {
        ASSERT_EQ(read_back.data[i], x.data[i]);
      }
      for (std::int64_t i = 0; i < 5; ++i) {
        ASSERT_EQ(*indices_copy.row<std::int32_t>(i), rows[static_cast<std::size_t>(i)]);
      }
      const Matrix expected = reference.output(5, cols);
      reference.executor().run(ops::GatherRows{reference_x, reference.indices(rows), expected});
      expect_close(Rig::read(gathered), reference.read(expected), tolerance(DType::kF16), "gather");
      const auto constant = reference.constant(vector);
      const Matrix expected_dots = reference.output(31, 1);
      reference.executor().run(ops::DotRows{reference_x, *constant, expected_dots});
      expect_close(Rig::read(dots), reference.read(expected_dots), 1e-5F, "dots");
      const auto words = reference.constant(x);
      const Matrix expected_words = reference.output(4, cols);
      reference.executor().run(
          ops::EmbedTokens{ids, positions, *words, *words, *constant, expected_words});
      expect_close(Rig::read(embedded), reference.read(expected_words), tolerance(dtype, 1e-6F),
                   "embedding");
    }
  });
}

}  // namespace
}  // namespace itemcrop::test
