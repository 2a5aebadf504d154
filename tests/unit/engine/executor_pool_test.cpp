#include "engine/executor_pool.h"

#include <gtest/gtest.h>

#include "backend/cpu/reference/reference_backend.h"

namespace itemcrop::engine {
namespace {

constexpr std::size_t kArena = 1 << 12;

TEST(ExecutorPool, ReusesAnIdleExecutorThatIsLargeEnough) {
  ExecutorPool pool(cpu::make_reference_backend());
  ops::Executor* first = nullptr;
  {
    ExecutorPool::Lease lease(pool, 1, kArena);
    first = &*lease;
  }
  ExecutorPool::Lease again(pool, 1, kArena / 2);
  EXPECT_EQ(&*again, first);
}

TEST(ExecutorPool, NeverSharesAnExecutorBetweenLeases) {
  ExecutorPool pool(cpu::make_reference_backend());
  ExecutorPool::Lease one(pool, 1, kArena);
  ExecutorPool::Lease two(pool, 1, kArena);
  EXPECT_NE(&*one, &*two);
}

TEST(ExecutorPool, MakesALargerArenaWhenTheIdleOneIsTooSmall) {
  ExecutorPool pool(cpu::make_reference_backend());
  { const ExecutorPool::Lease small(pool, 1, kArena); }
  ExecutorPool::Lease large(pool, 1, 4 * kArena);
  EXPECT_NO_THROW((*large).allocate(static_cast<std::int64_t>(kArena), 1, DType::kF32));
}

}  // namespace
}  // namespace itemcrop::engine
