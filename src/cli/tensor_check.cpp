#include "cli/tensor_check.h"

#include <cstddef>
#include <cstring>
#include <memory>

#include "io/safetensors.h"
#include "io/tensor_source.h"

namespace itemcrop::cli {
namespace {

/// True if any element has all bits of `exponent` set: NaN and the infinities, in any IEEE format.
template <typename Bits>
bool any_not_finite(const io::StoredTensor& tensor, Bits exponent) {
  for (std::size_t offset = 0; offset + sizeof(Bits) <= tensor.bytes; offset += sizeof(Bits)) {
    Bits bits;
    std::memcpy(&bits, tensor.data + offset, sizeof(Bits));  // tensors need not be aligned
    if ((bits & exponent) == exponent) return true;
  }
  return false;
}

bool has_not_finite(const io::StoredTensor& tensor) {
  switch (tensor.dtype) {
    case DType::kF32:
      return any_not_finite<std::uint32_t>(tensor, 0x7F800000U);
    case DType::kF16:
      return any_not_finite<std::uint16_t>(tensor, std::uint16_t{0x7C00});
    case DType::kBF16:
      return any_not_finite<std::uint16_t>(tensor, std::uint16_t{0x7F80});
    case DType::kI64:
    case DType::kI32:
    case DType::kU8:
    case DType::kBool:
      return false;
  }
  return false;
}

}  // namespace

TensorCheck check_tensors(const std::filesystem::path& folder) {
  const std::unique_ptr<io::TensorSource> source = io::open_checkpoint(folder);
  TensorCheck check;
  for (const std::string_view name : source->names()) {
    const io::StoredTensor& tensor = *source->find(name);
    ++check.tensors;
    check.values += tensor.elements();
    if (has_not_finite(tensor)) check.not_finite.emplace_back(name);
    source->release_pages(tensor);
  }
  return check;
}

}  // namespace itemcrop::cli
