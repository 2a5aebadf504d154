#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

#include "itemcrop/error.h"

namespace itemcrop::image {

using Bytes = std::span<const std::byte>;

/// A cursor over untrusted bytes. Every read is checked; a read past the end throws
/// Error(kCorruptImage), because a file that ends early is a truncated one.
class ByteReader {
 public:
  explicit ByteReader(Bytes bytes, std::string_view what) : bytes_(bytes), what_(what) {}

  std::size_t position() const noexcept { return position_; }
  std::size_t remaining() const noexcept { return bytes_.size() - position_; }

  void seek(std::uint64_t position) {
    if (position > bytes_.size()) throw_truncated();
    position_ = static_cast<std::size_t>(position);
  }

  Bytes take(std::uint64_t count) {
    if (count > remaining()) throw_truncated();
    const Bytes taken = bytes_.subspan(position_, static_cast<std::size_t>(count));
    position_ += taken.size();
    return taken;
  }

  void skip(std::uint64_t count) { take(count); }

  std::uint8_t u8() { return std::to_integer<std::uint8_t>(take(1).front()); }

  /// Unsigned integer of `Size` bytes, 1 to 8.
  template <std::size_t Size>
  std::uint64_t big() {
    std::uint64_t value = 0;
    for (const std::byte b : take(Size)) value = value << 8 | std::to_integer<std::uint64_t>(b);
    return value;
  }

  template <std::size_t Size>
  std::uint64_t little() {
    const Bytes taken = take(Size);
    std::uint64_t value = 0;
    for (std::size_t i = Size; i-- > 0;) {
      value = value << 8 | std::to_integer<std::uint64_t>(taken[i]);
    }
    return value;
  }

  [[noreturn]] void throw_truncated() const {
    throw Error(ErrorCode::kCorruptImage, "the " + std::string(what_) +
                                              " image is truncated after byte " +
                                              std::to_string(bytes_.size()));
  }

 private:
  Bytes bytes_;
  std::string_view what_;
  std::size_t position_ = 0;
};

/// True if `bytes` hold `text` at `offset`.
inline bool has_text_at(Bytes bytes, std::size_t offset, std::string_view text) noexcept {
  return bytes.size() >= offset && bytes.size() - offset >= text.size() &&
         std::memcmp(bytes.data() + offset, text.data(), text.size()) == 0;
}

}  // namespace itemcrop::image
