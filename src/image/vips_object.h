#pragma once

#include <memory>
#include <utility>

#include <vips/vips.h>

namespace itemcrop::image {

/// Owns a reference to a VipsImage.
struct VipsUnref {
  void operator()(VipsImage* image) const noexcept { g_object_unref(image); }
};
using VipsImagePtr = std::unique_ptr<VipsImage, VipsUnref>;

/// Calls a vips operation `operation(arguments..., &out, options..., nullptr)` through a lambda
/// that takes the out pointer; empty if the operation failed, with libvips' error text discarded.
///
/// That text lives in one buffer for the whole process, so with several images in flight it may
/// belong to another one. Errors are therefore worded by the caller.
template <typename Operation>
VipsImagePtr run_vips(Operation operation) noexcept {
  VipsImage* out = nullptr;
  const int status = operation(&out);
  VipsImagePtr image(out);
  if (status == 0) return image;
  vips_error_clear();
  return nullptr;
}

}  // namespace itemcrop::image
