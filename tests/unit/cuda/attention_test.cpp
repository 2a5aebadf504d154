#include "backend/cuda/kernels/attention.h"

#include <cmath>

#include <gtest/gtest.h>

#include "backend/cuda/kernels/plan.h"
#include "unit/cuda/rig.h"

namespace itemcrop::test {
namespace {

using namespace cuda::kernels;

struct Case {
  int heads, key_dim, value_dim;
  std::vector<Segment> queries, keys;
  bool blocks = false;
  bool wide = true;
};

void check(const Case& c, DType dtype, Draw& draw) {
  const std::int64_t query_rows = c.queries.back().end();
  const std::int64_t key_rows = c.keys.back().end();
  Rig rig;
  Reference reference;
  Values query = draw.values(query_rows, static_cast<std::int64_t>(c.heads) * c.key_dim);
  Values key = draw.values(key_rows, static_cast<std::int64_t>(c.heads) * c.key_dim);
  Values value = draw.values(key_rows, static_cast<std::int64_t>(c.heads) * c.value_dim);
  std::vector<std::int32_t> blocks;
  for (std::int64_t i = 0; c.blocks && i < query_rows; ++i) blocks.push_back(draw.between(0, 3));
  const float scale = 1.0F / std::sqrt(static_cast<float>(c.key_dim));
  const std::vector<Tile> tiles = attention_tiles(c.queries);
  const Matrix y = rig.output(query_rows, value.cols, dtype, c.wide);
  const AttentionParams params{.query = rig.matrix(query, dtype, c.wide),
                               .key = rig.matrix(key, dtype, c.wide),
                               .value = rig.matrix(value, dtype, c.wide),
                               .y = y,
                               .query_segments = rig.upload(c.queries),
                               .key_segments = rig.upload(c.keys),
                               .tiles = rig.upload(tiles),
                               .tile_count = static_cast<int>(tiles.size()),
                               .heads = c.heads,
                               .scale = scale,
                               .blocks = c.blocks ? rig.upload(blocks) : nullptr};
  rig.run([&] { launch_attention(nullptr, params); });
  const Matrix expected = reference.output(query_rows, value.cols);
  reference.executor().run(ops::Attention{.query = reference.matrix(query),
                                          .key = reference.matrix(key),
                                          .value = reference.matrix(value),
                                          .query_segments = c.queries,
                                          .key_segments = c.keys,
                                          .heads = c.heads,
                                          .scale = scale,
                                          .blocks = blocks,
                                          .y = expected});
  expect_close(Rig::read(y), reference.read(expected), tolerance(dtype),
               std::string(to_string(dtype)) + ", head dimension " + std::to_string(c.key_dim));
}

TEST(Attention, MatchesReference) {
  Draw draw(31);
  const std::vector<Segment> queries = {{0, 70}, {70, 1}, {71, 64}};
  const std::vector<Segment> keys = {{0, 33}, {33, 130}, {163, 5}};
  for (const DType dtype : kTypes) {
    check({2, 32, 32, queries, keys}, dtype, draw);
    check({1, 64, 64, queries, queries, true}, dtype, draw);
    check({1, 32, 16, queries, keys}, dtype, draw);
    check({1, 20, 28, queries, keys}, dtype, draw);
    check({1, 100, 100, queries, keys}, dtype, draw);
    check({1, 256, 256, queries, keys}, dtype, draw);
    check({2, 32, 32, queries, keys, false, false}, dtype, draw);
  }
}

TEST(Attention, LargeScoresDoNotOverflow) {
  Draw draw(32);
  Rig rig;
  Values big{3, 32, std::vector<float>(96, 30.0F)};
  Values value = draw.values(3, 32);
  for (int c = 0; c < 32; ++c) big.at(1, c) = -30;
  const std::vector<Segment> segments = {{0, 3}};
  const std::vector<Tile> tiles = attention_tiles(segments);
  const Matrix y = rig.output(3, 32, DType::kF16);
  const AttentionParams params{.query = rig.matrix(big, DType::kF16),
                               .key = rig.matrix(big, DType::kF16),
                               .value = rig.matrix(value, DType::kF16),
                               .y = y,
                               .query_segments = rig.upload(segments),
                               .key_segments = rig.upload(segments),
                               .tiles = rig.upload(tiles),
                               .tile_count = 1,
                               .heads = 1,
                               .scale = 100.0F};
  rig.run([&] { launch_attention(nullptr, params); });
  for (int c = 0; c < 32; ++c) {
    EXPECT_EQ(Rig::read(y).at(1, c), value.at(1, c));
    EXPECT_NEAR(Rig::read(y).at(0, c), (value.at(0, c) + value.at(2, c)) / 2, 2e-3F);
  }
}

struct WindowCase {
  int window, shift, heads, head_dim;
  std::vector<Grid> maps;
  bool wide = true;
  int blocks = 1320;
};

void check(const WindowCase& c, DType dtype, Draw& draw) {
  const std::int64_t channels = static_cast<std::int64_t>(c.heads) * c.head_dim;
  const std::int64_t rows = c.maps.back().begin + c.maps.back().rows();
  const std::int64_t codes = 2 * c.window - 1;
  Rig rig;
  Reference reference;
  const Values x = draw.values(rows, channels);
  const Values qkv_weight = draw.values(3 * channels, channels, 1.5F / std::sqrt(channels));
  const Values qkv_bias = draw.values(1, 3 * channels);
  const Values ones = draw.values(1, channels, 0.2F, 1);
  const Values shift = draw.values(1, channels);
  const Values bias = draw.values(codes * codes, c.heads);
  Values identity{channels, channels,
                  std::vector<float>(static_cast<std::size_t>(channels * channels))};
  for (std::int64_t i = 0; i < channels; ++i) identity.at(i, i) = 1;
  const ops::WindowAttentionWeights weights{
      reference.norm(ones, shift, 1e-5F), reference.linear(qkv_weight, &qkv_bias),
      reference.linear(identity, nullptr), reference.constant(bias)};

  const Matrix reference_x = reference.matrix(x);
  const Matrix product = reference.output(rows, 3 * channels);
  reference.executor().run(
      ops::Linear{reference_x, *weights.qkv, product, {.norm_before = &weights.norm}});
  Values qkv = reference.read(product);

  const ops::WindowGeometry geometry{c.window, c.shift, c.heads};
  const WindowPlan plan = plan_windows(c.maps, geometry);
  const Matrix y = rig.output(rows, channels, dtype, c.wide);
  const WindowAttentionParams params{.qkv = rig.matrix(qkv, dtype, c.wide),
                                     .y = y,
                                     .qkv_bias = rig.table(qkv_bias),
                                     .bias = rig.table(bias),
                                     .maps = rig.upload(plan.maps),
                                     .map_count = static_cast<int>(plan.maps.size()),
                                     .windows = plan.windows + 2,
                                     .window = c.window,
                                     .shift = c.shift,
                                     .heads = c.heads,
                                     .blocks = c.blocks};
  rig.run([&] { launch_window_attention(nullptr, params); });

  reference.executor().run(ops::WindowAttention{reference_x, c.maps, geometry, weights});
  Values expected = reference.read(reference_x);
  for (std::size_t i = 0; i < expected.data.size(); ++i) expected.data[i] -= x.data[i];
  expect_close(Rig::read(y), expected, 2 * tolerance(dtype),
               std::string(to_string(dtype)) + ", window " + std::to_string(c.window) + ", shift " +
                   std::to_string(c.shift));
}

TEST(WindowAttention, MatchesReference) {
  Draw draw(33);
  for (const DType dtype : kTypes) {
    for (const bool shifted : {false, true}) {
      check({7, shifted ? 3 : 0, 2, 32, {{0, 9, 15}, {135, 7, 7}, {184, 3, 2}}}, dtype, draw);
      check({12, shifted ? 6 : 0, 1, 32, {{0, 13, 24}, {312, 5, 30}}}, dtype, draw);
      check({8, shifted ? 4 : 0, 2, 32, {{0, 16, 9}}}, dtype, draw);
      check({4, shifted ? 2 : 0, 3, 20, {{0, 4, 5}, {20, 1, 1}}}, dtype, draw);
      check({3, shifted ? 1 : 0, 1, 48, {{0, 4, 5}}, false}, dtype, draw);
    }
  }
}

TEST(WindowAttention, WindowsShareABlock) {
  Draw draw(34);
  const std::vector<Grid> maps = {{0, 20, 15}, {300, 3, 5}, {315, 8, 15}};
  for (const DType dtype : kTypes) {
    check({7, 3, 2, 32, maps, true, 1}, dtype, draw);
    check({4, 1, 1, 20, maps, false, 12}, dtype, draw);
    check({9, 4, 1, 32, maps, true, 3}, dtype, draw);
  }
  // One buffer.
  check({12, 6, 1, 32, maps, true, 2}, DType::kF32, draw);
}

}  // namespace
}  // namespace itemcrop::test
