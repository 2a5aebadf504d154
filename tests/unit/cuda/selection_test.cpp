#include "backend/cuda/kernels/selection.h"

#include <limits>

#include <gtest/gtest.h>

#include "backend/cuda/kernels/plan.h"
#include "unit/cuda/rig.h"

namespace itemcrop::test {
namespace {

using namespace cuda::kernels;

TEST(Similarity, MatchesReference) {
  Draw draw(51);
  const std::vector<Segment> segments = {{0, 65}, {65, 1}, {66, 130}};
  const std::vector<Segment> text_segments = {{0, 16}, {16, 45}, {61, 3}};
  for (const DType dtype : kTypes) {
    for (const auto& [cols, wide] : {std::pair{256, true}, {40, true}, {21, false}}) {
      Rig rig;
      Reference reference;
      Values x = draw.values(196, cols);
      Values text = draw.values(64, cols);
      const std::vector<Tile> tiles = tiles_of(segments, kSimilarityTileRows);
      const Matrix all = rig.output(196, 50, DType::kF32, wide);
      const Matrix most = rig.output(196, 1, DType::kF32, wide);
      SimilarityParams params{.x = rig.matrix(x, dtype, wide),
                              .segments = rig.upload(segments),
                              .text = rig.matrix(text, DType::kF32, wide),
                              .text_segments = rig.upload(text_segments),
                              .tiles = rig.upload(tiles),
                              .tile_count = static_cast<int>(tiles.size()),
                              .scale = 0.0625F,
                              .bias = -4.5F,
                              .y = all};
      rig.run([&] {
        params.y = all;
        launch_similarity(nullptr, params);
        params.y = most;
        launch_max_similarity(nullptr, params);
      });
      const Matrix reference_x = reference.matrix(x);
      const Matrix reference_text = reference.matrix(text);
      const Matrix expected = reference.output(196, 50);
      const Matrix expected_most = reference.output(196, 1);
      const ops::SimilarityArgs args{.x = reference_x,
                                     .segments = segments,
                                     .text = reference_text,
                                     .text_segments = text_segments,
                                     .scale = params.scale,
                                     .bias = params.bias};
      reference.executor().run(ops::Similarity{args, expected});
      reference.executor().run(ops::MaxSimilarity{args, expected_most});
      expect_close(Rig::read(all), reference.read(expected), 1e-5F, "similarity");
      expect_close(Rig::read(most), reference.read(expected_most), 1e-5F, "max similarity");
    }
  }
}

void check_top_k(const Values& scores, const std::vector<Segment>& segments,
                 const std::vector<std::int64_t>& counts, std::int64_t shared_bytes) {
  Rig rig;
  Reference reference;
  Values stored = scores;
  const TopKPlan plan = plan_top_k(segments, counts);
  std::int64_t total = 0;
  for (const std::int64_t count : counts) total += count;
  const Matrix y = rig.output(total, 1, DType::kI32);
  const TopKParams params{.scores = rig.matrix(stored, DType::kF32),
                          .segments = rig.upload(plan.segments),
                          .segment_count = static_cast<int>(plan.segments.size()),
                          .most = plan.most,
                          .shared_bytes = shared_bytes,
                          .y = y};
  rig.run([&] { launch_top_k(nullptr, params); });
  const Matrix expected = reference.executor().allocate(total, 1, DType::kI32);
  reference.executor().run(ops::TopK{reference.matrix(scores), segments, counts, expected});
  ASSERT_EQ(Rig::read(y).data, reference.read(expected).data);
}

void check_top_k(const Values& scores, const std::vector<Segment>& segments,
                 const std::vector<std::int64_t>& counts) {
  // Scores that are kept all, those of short segments, none.
  for (const std::int64_t kibibytes : {99, 20, 1}) {
    check_top_k(scores, segments, counts, kibibytes << 10);
  }
}

TEST(TopK, MatchesReference) {
  Draw draw(52);
  const std::vector<Segment> segments = {{0, 5000}, {5000, 3}, {5003, 700}, {5703, 10}};
  Values scores = draw.values(5713, 1);
  check_top_k(scores, segments, {900, 3, 1, 0});
  check_top_k(scores, segments, {1025, 1, 700, 10});

  // Few different values, of both signs and zeros: ties everywhere.
  for (float& score : scores.data) score = static_cast<float>(draw.between(-3, 3)) * 0.0F;
  check_top_k(scores, segments, {900, 2, 300, 5});
  for (float& score : scores.data) score = static_cast<float>(draw.between(-2, 2));
  check_top_k(scores, segments, {900, 2, 300, 5});

  for (float& score : scores.data) {
    const int kind = draw.between(0, 5);
    if (kind == 0) score = std::numeric_limits<float>::quiet_NaN();
    if (kind == 1) score = -std::numeric_limits<float>::infinity();
    if (kind == 2) score = std::numeric_limits<float>::infinity();
    if (kind == 3) score = -std::numeric_limits<float>::quiet_NaN();
  }
  check_top_k(scores, segments, {4900, 3, 650, 9});
}

}  // namespace
}  // namespace itemcrop::test
