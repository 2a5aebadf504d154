// Any bytes as a safetensors file: an Error, or tensors that lie within the bytes.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <span>
#include <vector>

#include "itemcrop/error.h"

#include "io/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace itemcrop;
  std::vector<std::uint64_t> aligned(size / sizeof(std::uint64_t) + 1);
  if (size > 0) {
    std::memcpy(aligned.data(), data, size);
  }
  const auto bytes = std::as_bytes(std::span(aligned)).first(size);
  try {
    const auto source = io::parse_safetensors(bytes, "fuzz");
    std::size_t covered = 0;
    unsigned sum = 0;
    for (const std::string_view name : source->names()) {
      const io::StoredTensor* tensor = source->find(name);
      if (tensor == nullptr || tensor->bytes > size ||
          static_cast<std::size_t>(tensor->elements()) * size_of(tensor->dtype) != tensor->bytes) {
        std::abort();
      }
      // Reads the data, so that a memory checker sees what lies outside.
      for (std::size_t i = 0; i < tensor->bytes; ++i) {
        sum += std::to_integer<unsigned>(tensor->data[i]);
      }
      covered += tensor->bytes;
    }
    if (covered > size || sum > 255 * covered) {
      std::abort();
    }
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kCorruptModel) {
      std::abort();
    }
  }
  return 0;
}
