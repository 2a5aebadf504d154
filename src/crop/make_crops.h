#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <optional>
#include <stop_token>
#include <utility>
#include <vector>

#include "itemcrop/crop.h"
#include "itemcrop/image.h"

#include "core/budget.h"
#include "crop/result.h"
#include "image/crop.h"

namespace itemcrop::crop {

/// What the crops of one request may be together.
struct CropLimits {
  std::int64_t max_crops = 1'000;
  std::int64_t max_crop_pixels = 400'000'000;  ///< width x height of all
  std::int64_t max_crop_bytes = 128'000'000;   ///< of all files
};

/// The crops of one request against its limits, over all its images. Thread-safe.
class CropQuota {
 public:
  explicit CropQuota(const CropLimits& limits = {}) : limits_(limits) {}
  /// `lease` grows by the bytes of every crop, and throws where its budget has no room.
  CropQuota(const CropLimits& limits, Lease lease) : limits_(limits), lease_(std::move(lease)) {}

  /// Before any is made. Throws Error(kLimitExceeded) naming the limit and the value.
  void add(std::int64_t crops, std::int64_t pixels);
  /// The same, after one was encoded.
  void add_bytes(std::int64_t bytes);

  /// The lease with all that was added, once no more crops are made.
  Lease take_lease() { return std::move(*lease_); }

 private:
  CropLimits limits_;
  std::atomic<std::int64_t> crops_ = 0;
  std::atomic<std::int64_t> pixels_ = 0;
  std::atomic<std::int64_t> bytes_ = 0;
  std::mutex mutex_;  // of lease_
  std::optional<Lease> lease_;
};

/// What a crop of a box shows: a part of `image`, without a copy. Throws Error(kInvalidArgument):
/// options out of range.
ImageView crop_view(const ImageView& image, const Box& box, const image::CropOptions& options);

/// One box as an image file, without a name. Throws Error: kInvalidArgument (options out of range),
/// kLimitExceeded (a side over the format's), kCancelled, kInternal.
CropFile make_crop(const ImageView& image, const Box& box, const image::CropOptions& options,
                   const std::stop_token& stop = {});

/// Where every item is to be cropped, if all crops together fit into the quota. Throws Error:
/// kLimitExceeded, kInvalidArgument (options out of range).
std::vector<PixelRect> plan_crops(const ImageView& image, const image::CropOptions& options,
                                  const std::vector<FoundItem>& items, CropQuota& quota);

/// Crops one item as it was planned: `crop` gets everything but its name. Throws Error:
/// kLimitExceeded, kCancelled (looked at before and while it is encoded), kInternal.
void make_planned_crop(const ImageView& image, const PixelRect& rect,
                       const image::CropOptions& options, FoundItem& item, CropQuota& quota,
                       const std::stop_token& stop = {});

/// Both for all: `crop` gets everything but its name. Nothing is encoded unless all crops fit
/// into the quota. Throws Error: kLimitExceeded, kCancelled (looked at before each crop and while
/// it is encoded), kInvalidArgument (options out of range), kInternal.
void make_crops(const ImageView& image, const image::CropOptions& options,
                std::vector<FoundItem>& items, CropQuota& quota, const std::stop_token& stop = {});

/// The whole image as a JPEG of at most max_side x max_side pixels, for clients that cannot show
/// its format. Counts as a crop. Throws as make_crops.
CropFile make_preview(const ImageView& image, int max_side, CropQuota& quota,
                      const std::stop_token& stop = {});

}  // namespace itemcrop::crop
