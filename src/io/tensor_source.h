#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/dtype.h"

namespace itemcrop::io {

/// One tensor of a checkpoint: row-major little-endian elements, borrowed from its TensorSource.
/// `data` need not be aligned for its element type: readers copy or use unaligned loads.
struct StoredTensor {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<std::int64_t> shape;  ///< outermost first; empty: a scalar
  const std::byte* data = nullptr;
  std::size_t bytes = 0;  ///< elements() * size_of(dtype), checked when the source was opened

  std::int64_t elements() const noexcept;
};

/// "[192, 256]", for messages.
std::string to_string(const std::vector<std::int64_t>& shape);

/// A checkpoint's tensors, borrowed for the source's life. Const use is thread-safe.
class TensorSource {
 public:
  virtual ~TensorSource() = default;
  TensorSource(const TensorSource&) = delete;
  TensorSource& operator=(const TensorSource&) = delete;

  /// nullptr if there is no tensor of that name.
  virtual const StoredTensor* find(std::string_view name) const = 0;

  /// Every name, in the order of the data.
  virtual std::vector<std::string_view> names() const = 0;

  /// Lets the system drop a tensor's pages once it has been copied; its data stays readable.
  virtual void release_pages(const StoredTensor&) const {}

  /// What the tensors were read from (a file name), for messages.
  virtual const std::string& origin() const noexcept = 0;

 protected:
  TensorSource() = default;
};

}  // namespace itemcrop::io
