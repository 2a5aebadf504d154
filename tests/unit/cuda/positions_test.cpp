#include "backend/cuda/kernels/positions.h"

#include <gtest/gtest.h>

#include "backend/cuda/kernels/plan.h"
#include "ops/geometry.h"
#include "unit/cuda/rig.h"

namespace itemcrop::test {
namespace {

using namespace cuda::kernels;

std::vector<ops::Pyramid> two_pyramids() {
  return {{{{0, 30, 21}, {630, 15, 11}, {795, 8, 6}, {843, 4, 3}}},
          {{{855, 7, 9}, {918, 4, 5}, {938, 2, 3}, {944, 1, 2}}}};
}
constexpr std::int64_t kRows = 946;

struct Levels {
  Levels(Rig& rig, std::span<const ops::Pyramid> pyramids) {
    const std::vector<Grid> grids = flatten(pyramids);
    const std::vector<Tile> host_tiles = tiles_of(grids, kLevelTileRows);
    levels = rig.upload(grids);
    tiles = rig.upload(host_tiles);
    grid_count = static_cast<int>(grids.size());
    tile_count = static_cast<int>(host_tiles.size());
    level_count = static_cast<int>(pyramids.front().levels.size());
  }
  const Grid* levels;
  const Tile* tiles;
  int grid_count, tile_count, level_count;
};

TEST(AxisPositions, MatchReference) {
  Draw draw(11);
  const std::vector<ops::Pyramid> pyramids = two_pyramids();
  for (const DType dtype : kTypes) {
    for (const int cols : {16, 36, 64, 260}) {
      Rig rig;
      Reference reference;
      const Levels levels(rig, pyramids);
      const Values embedding = draw.values(4, cols);
      const Matrix y = rig.output(ops::axis_rows(pyramids), cols, dtype);
      const float* table = rig.table(embedding);
      rig.run([&] {
        launch_axis_positions(nullptr, {.levels = levels.levels,
                                        .level_count = levels.level_count,
                                        .level_embedding = table,
                                        .temperature = 20.0F,
                                        .y = y});
      });
      const Matrix expected = reference.output(y.rows, cols);
      const auto constant = reference.constant(embedding);
      reference.executor().run(ops::AxisPositions{pyramids, *constant, 20.0F, expected});
      expect_close(Rig::read(y), reference.read(expected), tolerance(dtype, 1e-6F), "positions");
    }
  }
}

TEST(BoxPositions, MatchReference) {
  Draw draw(12);
  for (const DType dtype : kTypes) {
    Rig rig;
    Reference reference;
    Values boxes{37, 4, {}};
    for (int i = 0; i < 37 * 4; ++i) boxes.data.push_back(draw.uniform());
    const Matrix device_boxes = rig.matrix(boxes, DType::kF32);
    const Matrix y = rig.output(37, 4 * 20, dtype);
    rig.run(
        [&] { launch_box_positions(nullptr, {.boxes = device_boxes, .features = 20, .y = y}); });
    const Matrix expected = reference.output(37, 4 * 20);
    reference.executor().run(ops::BoxPositions{reference.matrix(boxes), 20, expected});
    expect_close(Rig::read(y), reference.read(expected), tolerance(dtype, 1e-6F), "positions");
  }
}

TEST(Boxes, RefineAndPropose) {
  Draw draw(13);
  const std::vector<ops::Pyramid> pyramids = two_pyramids();
  for (const DType dtype : kTypes) {
    Rig rig;
    Reference reference;
    const Levels levels(rig, pyramids);
    std::vector<std::int32_t> rows;
    for (int i = 0; i < 70; ++i) {
      rows.push_back(draw.between(0, static_cast<int>(kRows) - 1));
    }
    Values delta = draw.values(70, 4);
    Values boxes{70, 4, {}};
    for (int i = 0; i < 280; ++i) boxes.data.push_back(draw.uniform() * 1.2F - 0.1F);
    const Matrix device_delta = rig.matrix(delta, dtype);
    const Matrix device_boxes = rig.matrix(boxes, DType::kF32);
    const Matrix device_rows = rig.indices(rows);
    const Matrix proposed = rig.output(70, 4, DType::kF32);
    rig.run([&] {
      launch_refine_boxes(nullptr, {device_delta, device_boxes, device_boxes});
      launch_proposal_boxes(nullptr, {.delta = device_delta,
                                      .rows = device_rows,
                                      .levels = levels.levels,
                                      .level_count = levels.level_count,
                                      .grid_count = levels.grid_count,
                                      .y = proposed});
    });
    const Matrix reference_boxes = reference.matrix(boxes);
    const Matrix reference_delta = reference.matrix(delta);
    const Matrix expected = reference.output(70, 4);
    reference.executor().run(ops::RefineBoxes{reference_delta, reference_boxes, reference_boxes});
    reference.executor().run(
        ops::ProposalBoxes{reference_delta, reference.indices(rows), pyramids, expected});
    expect_close(Rig::read(device_boxes), reference.read(reference_boxes), 1e-6F, "refined");
    expect_close(Rig::read(proposed), reference.read(expected), 1e-6F, "proposed");
  }
}

TEST(MaskProposals, MatchReference) {
  Draw draw(14);
  const std::vector<ops::Pyramid> pyramids = two_pyramids();
  for (const DType dtype : kTypes) {
    for (const bool wide : {true, false}) {
      Rig rig;
      Reference reference;
      const Levels levels(rig, pyramids);
      Values x = draw.values(kRows, 21);
      const Matrix device_x = rig.matrix(x, dtype, wide);
      const Matrix y = rig.output(kRows, 21, dtype, wide);
      rig.run([&] {
        launch_mask_proposals(nullptr, {.x = device_x,
                                        .y = y,
                                        .levels = levels.levels,
                                        .level_count = levels.level_count,
                                        .tiles = levels.tiles,
                                        .tile_count = levels.tile_count});
      });
      const Matrix expected = reference.output(kRows, 21);
      reference.executor().run(ops::MaskProposals{reference.matrix(x), pyramids, expected});
      expect_close(Rig::read(y), reference.read(expected), 1e-7F, "masked");
    }
  }
}

}  // namespace
}  // namespace itemcrop::test
