#pragma once

namespace itemcrop::image {

/// While one lives, the C library zeroes what it allocates, for the whole process.
///
/// libde265 leaves parts of a damaged HEIC image unwritten and libheif hands them on as pixels:
/// old heap memory, which may be another user's image. Neither has a setting against it. Costs a
/// memset an allocation; other C libraries than glibc have no such switch and are left as they are.
class ZeroedHeap {
 public:
  ZeroedHeap();
  ZeroedHeap(const ZeroedHeap&) = delete;
  ZeroedHeap& operator=(const ZeroedHeap&) = delete;
  ~ZeroedHeap();
};

}  // namespace itemcrop::image
