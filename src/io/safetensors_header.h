#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/dtype.h"

namespace itemcrop::io {

/// One entry of a safetensors header; offsets in bytes from the start of the data section.
struct HeaderEntry {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<std::int64_t> shape;
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};

inline constexpr std::size_t kMaxTensors = 65'536;
inline constexpr std::size_t kMaxDimensions = 8;

/// Parses a header and checks each entry by itself: JSON, UTF-8, no key twice, known keys and
/// element types, shape times element size equal to end - begin without overflow.
/// Throws Error(kCorruptModel); `origin` starts the message.
std::vector<HeaderEntry> parse_safetensors_header(std::string_view json, const std::string& origin);

}  // namespace itemcrop::io
