#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <stop_token>

#include "image/decode.h"

namespace itemcrop::image {

/// A file whose header was read, so that what decoding it takes is known before it is done.
class Decoder {
 public:
  /// Throws as decode() does for what a header says. `bytes` must outlive the decoder.
  explicit Decoder(std::span<const std::byte> bytes, const DecodeOptions& options = {},
                   const Limits& limits = {}, std::stop_token stop = {});
  ~Decoder();
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;

  /// An upper bound of the memory that decode() holds at its peak, the result included and `bytes`
  /// not.
  std::int64_t peak_bytes() const noexcept;

  /// Once. Throws as decode().
  Image decode();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace itemcrop::image
