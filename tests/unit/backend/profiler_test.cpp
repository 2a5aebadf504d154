#include "ops/profiler.h"

#include <vector>

#include <gtest/gtest.h>

#include "backend/cpu/reference/reference_backend.h"

namespace itemcrop::test {
namespace {

TEST(Profiler, TimesEveryOpByItsNameAndItsProductsShape) {
  const auto backend = cpu::make_reference_backend();
  const std::vector<float> values(2 * 3, 1.0F);
  const auto weights =
      backend->make_linear({values.data(), nullptr, 2, 3}, ops::WeightPrecision::kBackend);
  const auto executor = backend->make_executor(1, 1 << 12);
  const ops::Matrix x = executor->allocate(1, 3);
  const ops::Matrix y = executor->allocate(1, 2);
  executor->upload(values.data(), x);

  ops::WallTimeProfiler profiler;
  executor->set_profiler(&profiler);
  executor->run(ops::Linear{x, *weights, y});
  executor->run(ops::Linear{x, *weights, y});
  executor->run(ops::Add{x, x, x});
  executor->set_profiler(nullptr);
  executor->run(ops::Add{x, x, x});

  ASSERT_EQ(profiler.profile.size(), 2U);
  EXPECT_EQ(profiler.profile.at("linear 3 -> 2").calls, 2);
  EXPECT_EQ(profiler.profile.at("add").calls, 1);
  EXPECT_GE(profiler.profile.at("add").milliseconds, 0);
}

}  // namespace
}  // namespace itemcrop::test
