#include "ops/planner.h"

#include <algorithm>

#include "core/arena.h"

namespace itemcrop::ops {
namespace {

class Planner final : public Executor {
 public:
  explicit Planner(DType activation_dtype) : activation_dtype_(activation_dtype) { check_shapes(); }

  Matrix allocate(std::int64_t rows, std::int64_t cols, DType dtype) override {
    if (rows < 0 || cols < 1) throw_broken_contract("allocate");
    // A non-null address that nothing dereferences: the planner's matrices only carry shapes.
    auto* data = reinterpret_cast<void*>(Arena::kAlignment + used_);
    used_ += Arena::rounded(static_cast<std::size_t>(rows * cols) * size_of(dtype));
    peak_ = std::max(peak_, used_);
    return {data, dtype, rows, cols, cols};
  }
  std::size_t peak_bytes() const noexcept override { return peak_; }
  DType activation_dtype() const noexcept override { return activation_dtype_; }
  std::size_t arena_mark() const noexcept override { return used_; }
  void arena_release(std::size_t mark) noexcept override { used_ = mark; }

 private:
#define ITEMCROP_EXECUTE_NOTHING(Op) \
  void execute(const Op& /*op*/) override {}
  ITEMCROP_OPS(ITEMCROP_EXECUTE_NOTHING)
#undef ITEMCROP_EXECUTE_NOTHING

  DType activation_dtype_;
  std::size_t used_ = 0;
  std::size_t peak_ = 0;
};

}  // namespace

std::unique_ptr<Executor> make_planner(DType activation_dtype) {
  return std::make_unique<Planner>(activation_dtype);
}

}  // namespace itemcrop::ops
