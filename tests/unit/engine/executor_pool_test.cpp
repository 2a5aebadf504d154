#include "engine/executor_pool.h"

#include <gtest/gtest.h>

#include "itemcrop/error.h"

#include "backend/cpu/reference/reference_backend.h"
#include "support/expect_error.h"
#include "support/forwarding_backend.h"

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

/// The reference, which has no memory for its second executor when first asked.
class ShortOfMemory final : public test::ForwardingBackend {
 public:
  ShortOfMemory() : ForwardingBackend(cpu::make_reference_backend()) {}

  std::unique_ptr<ops::Executor> make_executor(int threads, std::size_t bytes) const override {
    if (++asked_ == 2) throw Error(ErrorCode::kOutOfMemory, "no memory");
    return ForwardingBackend::make_executor(threads, bytes);
  }

 private:
  mutable int asked_ = 0;
};

TEST(ExecutorPool, IdleExecutorsMakeRoomWhereMemoryIsShort) {
  ExecutorPool pool(std::make_shared<const ShortOfMemory>());
  { const ExecutorPool::Lease small(pool, 1, kArena); }
  EXPECT_NO_THROW(ExecutorPool::Lease(pool, 1, 4 * kArena));
}

TEST(ExecutorPool, OutOfMemoryWithoutIdleExecutorsIsTheCallersError) {
  ExecutorPool pool(std::make_shared<const ShortOfMemory>());
  const ExecutorPool::Lease busy(pool, 1, kArena);
  test::expect_error(ErrorCode::kOutOfMemory, "no memory",
                     [&] { ExecutorPool::Lease(pool, 1, kArena); });
  EXPECT_NO_THROW(ExecutorPool::Lease(pool, 1, kArena));
}

}  // namespace
}  // namespace itemcrop::engine
