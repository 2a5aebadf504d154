#include "backend/cuda/kernels/image.h"

#include <gtest/gtest.h>

#include "backend/cuda/kernels/plan.h"
#include "unit/cuda/rig.h"

namespace itemcrop::test {
namespace {

using namespace cuda::kernels;

struct Case {
  int from_width, from_height, to_width, to_height, patch;
};

/// In fp32 the resized levels must be Pillow's to the bit, so the patches are exact.
void check(const Case& c, DType dtype, bool wide, Draw& draw) {
  Rig rig;
  Reference reference;
  const int stride = c.from_width * 3 + 5;
  std::vector<std::uint8_t> pixels;
  for (int i = 0; i < stride * c.from_height; ++i) {
    pixels.push_back(static_cast<std::uint8_t>(draw.between(0, 255)));
  }
  const ops::PixelTransform transform{.height = c.to_height,
                                      .width = c.to_width,
                                      .patch = c.patch,
                                      .scale = {0.017F, 0.018F, 0.019F},
                                      .shift = {-2.1F, -2.0F, -1.8F}};
  const std::int64_t rows = static_cast<std::int64_t>((c.to_width + c.patch - 1) / c.patch) *
                            ((c.to_height + c.patch - 1) / c.patch);
  const std::int64_t cols = 3L * c.patch * c.patch;
  ImagePlan plan = plan_image(c.from_width, c.from_height, transform);
  plan.image.pixels = rig.upload(pixels);
  plan.image.stride = stride;
  plan.image.between = static_cast<std::uint8_t*>(rig.workspace(plan.workspace_bytes));
  attach_tables(plan.image, rig.upload(plan.tables));
  const Matrix y = rig.output(rows, cols, dtype, wide);
  rig.run([&] { launch_image_patches(nullptr, {plan.image, y}); });

  const Matrix expected = reference.output(rows, cols);
  reference.executor().run(ops::ImagePatches{{.pixels = pixels.data(),
                                              .width = c.from_width,
                                              .height = c.from_height,
                                              .row_stride = stride},
                                             transform,
                                             expected});
  expect_close(Rig::read(y), reference.read(expected),
               dtype == DType::kF32 ? 1e-7F : tolerance(dtype),
               std::to_string(c.from_width) + " x " + std::to_string(c.from_height));
}

TEST(ImagePatches, MatchPillowBitForBit) {
  Draw draw(61);
  for (const Case& c : {Case{97, 61, 40, 24, 4}, Case{30, 20, 90, 61, 4}, Case{33, 200, 25, 40, 4},
                        Case{64, 48, 64, 48, 4}, Case{64, 48, 64, 21, 4}, Case{64, 48, 31, 48, 4},
                        Case{1, 1, 5, 3, 4}, Case{300, 7, 150, 5, 4}, Case{50, 40, 37, 29, 1},
                        Case{50, 40, 37, 29, 16}, Case{50, 40, 70, 40, 32}}) {
    for (const DType dtype : kTypes) check(c, dtype, true, draw);
    check(c, DType::kF16, false, draw);
  }
}

}  // namespace
}  // namespace itemcrop::test
