// A sample's answer has the same bits alone and between others.
#include <algorithm>

#include <gtest/gtest.h>

#include "backend/cuda/kernels/plan.h"
#include "unit/cuda/planned.h"

namespace itemcrop::test {
namespace {

using namespace cuda::kernels;

/// Rows [begin, begin + rows) of values.
Values part(const Values& all, const Segment& segment) {
  const auto cols = static_cast<std::ptrdiff_t>(all.cols);
  return {segment.rows,
          all.cols,
          {all.data.begin() + segment.begin * cols, all.data.begin() + segment.end() * cols}};
}

TEST(Company, AttentionIsTheSameAlone) {
  Draw draw(81);
  const std::vector<Segment> queries = {{0, 37}, {37, 90}};
  const std::vector<Segment> keys = {{0, 51}, {51, 70}};
  const Values query = draw.values(127, 64);
  const Values key = draw.values(121, 64);
  const Values value = draw.values(121, 64);
  const auto run = [&](std::vector<Segment> q, std::vector<Segment> k, Values a, Values b,
                       Values c) {
    Rig rig;
    const std::vector<Tile> tiles = attention_tiles(q);
    const Matrix y = rig.output(a.rows, 64, DType::kF16);
    const AttentionParams params{.query = rig.matrix(a, DType::kF16),
                                 .key = rig.matrix(b, DType::kF16),
                                 .value = rig.matrix(c, DType::kF16),
                                 .y = y,
                                 .query_segments = rig.upload(q),
                                 .key_segments = rig.upload(k),
                                 .tiles = rig.upload(tiles),
                                 .tile_count = static_cast<int>(tiles.size()),
                                 .heads = 2,
                                 .scale = 0.2F};
    rig.run([&] { launch_attention(nullptr, params); });
    return Rig::read(y);
  };
  const Values together = run(queries, keys, query, key, value);
  const Values alone =
      run({{0, 90}}, {{0, 70}}, part(query, queries[1]), part(key, keys[1]), part(value, keys[1]));
  EXPECT_EQ(part(together, queries[1]).data, alone.data);
}

TEST(Company, FusionIsTheSameAlone) {
  Draw draw(82);
  constexpr int kHeads = 2;
  constexpr int kDim = 64;
  const std::vector<Segment> vision_segments = {{0, 100}, {100, 530}};
  const std::vector<Segment> folded_segments = {{0, 140}, {140, 18}};
  const Values vision = draw.values(630, kDim);
  const Values keys = draw.values(158, kDim, 0.3F);
  const Values key_bias = draw.values(158, 1);
  const Values values = draw.values(158, kDim);
  const Values table = draw.values(1, kDim);
  struct Answer {
    Values vision, context;
  };
  const auto run = [&](std::vector<Segment> v, std::vector<Segment> f, Values x, Values k, Values b,
                       Values w) -> Answer {
    Rig rig;
    const FusionPlan plan = plan_fusion(v, f, kDim, k.rows, kHeads, DType::kBF16, 132, false);
    const Matrix device_vision = rig.matrix(x, DType::kBF16);
    const Matrix context = rig.output(k.rows, kDim, DType::kF32);
    const float* device_table = rig.table(table);
    FusionParams params = planned(rig, plan);
    params.vision = device_vision;
    params.keys = rig.matrix(k, DType::kF32);
    params.key_bias = rig.matrix(b, DType::kF32);
    params.values = rig.matrix(w, DType::kF32);
    params.context = context;
    params.heads = kHeads;
    params.norm = {device_table, device_table, 1e-5F};
    params.output_bias = device_table;
    params.gamma = device_table;
    rig.run([&] {
      launch_folded_fusion(nullptr, params);
      launch_fusion_merge(nullptr, params);
    });
    return {Rig::read(device_vision), Rig::read(context)};
  };
  const Answer together = run(vision_segments, folded_segments, vision, keys, key_bias, values);
  const Segment rows = vision_segments[1];
  const Segment folded = folded_segments[1];
  const Answer alone = run({{0, rows.rows}}, {{0, folded.rows}}, part(vision, rows),
                           part(keys, folded), part(key_bias, folded), part(values, folded));
  EXPECT_EQ(part(together.vision, rows).data, alone.vision.data);
  EXPECT_EQ(part(together.context, folded).data, alone.context.data);
}

TEST(Company, GroupNormIsTheSameAlone) {
  Draw draw(83);
  const Values x = draw.values(500, 32);
  const Values table = draw.values(1, 32);
  const auto run = [&](std::vector<Segment> segments, Values values) {
    Rig rig;
    const GroupNormPlan plan = plan_group_norm(segments, segments, 4);
    const Matrix y = rig.output(values.rows, 32, DType::kF16);
    const GroupNormParams params{
        .x = rig.matrix(values, DType::kF16),
        .y = y,
        .segments = rig.upload(plan.segments),
        .segment_count = static_cast<int>(plan.segments.size()),
        .tiles = rig.upload(plan.tiles),
        .tile_count = static_cast<int>(plan.tiles.size()),
        .groups = 4,
        .weight = rig.table(table),
        .bias = rig.table(table),
        .epsilon = 1e-5F,
        .workspace = static_cast<float*>(rig.workspace(plan.workspace_bytes))};
    rig.run([&] { launch_group_norm(nullptr, params); });
    return Rig::read(y);
  };
  const Segment rows{70, 430};
  const Values together = run({{0, 70}, rows}, x);
  EXPECT_EQ(part(together, rows).data, run({{0, 430}}, part(x, rows)).data);
}

}  // namespace
}  // namespace itemcrop::test
