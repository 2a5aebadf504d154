#include "backend/cpu/reference/scratch.h"

#include <new>
#include <string>

#include "itemcrop/error.h"

namespace itemcrop::cpu::reference {
namespace {

void grow(std::vector<float>& block, std::size_t floats) {
  if (block.size() >= floats) return;
  try {
    block.resize(floats);
  } catch (const std::bad_alloc&) {
    throw Error(
        ErrorCode::kOutOfMemory,
        "cannot allocate " + std::to_string(floats * sizeof(float)) + " bytes of working memory");
  }
}

}  // namespace

Scratch::Scratch(int workers) : workers_(static_cast<std::size_t>(workers)) {}

void Scratch::reserve(std::size_t floats) {
  for (std::vector<float>& block : workers_) grow(block, floats);
}

float* Scratch::reserve_shared(std::size_t floats) {
  grow(shared_, floats);
  return shared_.data();
}

std::size_t Scratch::bytes() const noexcept {
  std::size_t floats = shared_.size();
  for (const std::vector<float>& block : workers_) floats += block.size();
  return floats * sizeof(float);
}

}  // namespace itemcrop::cpu::reference
