#include "crop/make_crops.h"

#include <cstddef>
#include <memory>
#include <string>
#include <utility>

#include "itemcrop/crop.h"
#include "itemcrop/error.h"

#include "core/stop.h"
#include "image/encode.h"
#include "image/resize.h"
#include "items/suppression.h"

namespace itemcrop::crop {
namespace {

void add_within(std::atomic<std::int64_t>& sum, std::int64_t amount, std::int64_t limit,
                const char* setting, const char* unit) {
  const std::int64_t value = sum.fetch_add(amount) + amount;
  if (value > limit) {
    throw Error(ErrorCode::kLimitExceeded,
                std::string(setting) + ": the crops of this request come to " +
                    std::to_string(value) + unit + ", the limit is " + std::to_string(limit) +
                    "; ask for fewer or smaller crops, or another format");
  }
}

PixelRect rect_of(const ImageView& image, const Box& box, const image::CropOptions& options) {
  // LabelMode::kTokens gives boxes as the model predicts them, which may lean over the edge.
  const Box inside = items::clamp_to_image(box, image.width, image.height);
  return crop_rect(inside, image.width, image.height, options.rules());
}

CropFile encode_rect(const ImageView& image, const PixelRect& rect,
                     const image::CropOptions& options, const std::stop_token& stop) {
  throw_if_stopped(stop);
  CropFile crop;
  crop.content_type = image::content_type(options.format);
  crop.width = rect.width;
  crop.height = rect.height;
  crop.bytes = std::make_shared<const Bytes>(
      image::encode(sub_view(image, rect), options.format, {.quality = options.quality}, stop));
  return crop;
}

}  // namespace

void CropQuota::add(std::int64_t crops, std::int64_t pixels) {
  add_within(crops_, crops, limits_.max_crops, "max_crops", " crops");
  add_within(pixels_, pixels, limits_.max_crop_pixels, "max_crop_pixels", " pixels");
}

void CropQuota::add_bytes(std::int64_t bytes) {
  add_within(bytes_, bytes, limits_.max_crop_bytes, "max_crop_bytes", " bytes");
  const std::lock_guard lock(mutex_);
  if (lease_) lease_->grow(bytes);
}

ImageView crop_view(const ImageView& image, const Box& box, const image::CropOptions& options) {
  return sub_view(image, rect_of(image, box, options));
}

CropFile make_crop(const ImageView& image, const Box& box, const image::CropOptions& options,
                   const std::stop_token& stop) {
  return encode_rect(image, rect_of(image, box, options), options, stop);
}

std::vector<PixelRect> plan_crops(const ImageView& image, const image::CropOptions& options,
                                  const std::vector<FoundItem>& items, CropQuota& quota) {
  std::vector<PixelRect> rects;
  rects.reserve(items.size());
  std::int64_t pixels = 0;
  for (const FoundItem& item : items) {
    rects.push_back(rect_of(image, item.detection.box, options));
    pixels += std::int64_t{rects.back().width} * rects.back().height;
  }
  quota.add(static_cast<std::int64_t>(items.size()), pixels);
  return rects;
}

void make_planned_crop(const ImageView& image, const PixelRect& rect,
                       const image::CropOptions& options, FoundItem& item, CropQuota& quota,
                       const std::stop_token& stop) {
  CropFile crop = encode_rect(image, rect, options, stop);
  quota.add_bytes(static_cast<std::int64_t>(crop.bytes->size()));
  item.crop = std::move(crop);
}

void make_crops(const ImageView& image, const image::CropOptions& options,
                std::vector<FoundItem>& items, CropQuota& quota, const std::stop_token& stop) {
  const std::vector<PixelRect> rects = plan_crops(image, options, items, quota);
  for (std::size_t i = 0; i < items.size(); ++i) {
    make_planned_crop(image, rects[i], options, items[i], quota, stop);
  }
}

CropFile make_preview(const ImageView& image, int max_side, CropQuota& quota,
                      const std::stop_token& stop) {
  constexpr image::CropOptions kPreview{.margin = 0, .quality = 85};
  const auto small = image::shrink_to_fit(image, max_side);
  quota.add(1, std::int64_t{small.width()} * small.height());
  CropFile preview =
      encode_rect(small.view(), {0, 0, small.width(), small.height()}, kPreview, stop);
  quota.add_bytes(static_cast<std::int64_t>(preview.bytes->size()));
  return preview;
}

}  // namespace itemcrop::crop
