// The side branch: a second stream that forks from the first and is joined again, in a graph as
// well as outside one.
#include <utility>

#include "backend/cuda/executor.h"

namespace itemcrop::cuda {

ops::Branch CudaExecutor::select_branch(ops::Branch branch) noexcept {
  // A profile's ops follow each other, or their times would mean nothing.
  if (profiler() != nullptr || !device_->tuning.branches) return ops::Branch::kMain;
  return std::exchange(branch_, branch);
}

void CudaExecutor::fork_if_side_branch() {
  if (branch_ != ops::Branch::kSide || forked_) return;
  commands_.add_fork();
  forked_ = true;
}

void CudaExecutor::join() {
  if (is_dry_run()) return;
  launch_small_products();
  if (!forked_) return;
  commands_.add_join();
  forked_ = false;
  send_if_many();
}

std::size_t CudaExecutor::arena_mark() const noexcept { return extent().used; }
void CudaExecutor::arena_release(std::size_t mark) noexcept { extent().used = mark; }

}  // namespace itemcrop::cuda
