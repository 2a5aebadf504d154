#include "ops/resize.h"

#include <algorithm>
#include <cmath>
#include <new>
#include <string>

#include "itemcrop/error.h"

namespace itemcrop::ops {
namespace {

constexpr int kChannels = 3;
/// Pillow's PRECISION_BITS: 8 bits of pixel and 2 of overshoot leave 22 for the weight.
constexpr int kPrecisionBits = 32 - 8 - 2;
constexpr std::int32_t kHalf = 1 << (kPrecisionBits - 1);

std::uint8_t to_pixel(std::int32_t sum) {
  return static_cast<std::uint8_t>(std::clamp(sum >> kPrecisionBits, 0, 255));
}

template <class Body>
auto with_memory(const char* what, Body&& body) {
  try {
    return body();
  } catch (const std::bad_alloc&) {
    throw Error(ErrorCode::kOutOfMemory, std::string("cannot allocate memory for ") + what);
  }
}

}  // namespace

ImageSize resized_size(ImageSize image, int shortest_edge, int longest_edge) {
  const double shorter = std::min(image.width, image.height);
  const double longer = std::max(image.width, image.height);
  const bool limited = longer / shorter * shortest_edge > longest_edge;
  const double exact = limited ? longest_edge * shorter / longer : shortest_edge;
  // Rounds halves to even, as Python's round().
  const int edge = limited ? static_cast<int>(std::nearbyint(exact)) : shortest_edge;
  if (std::min(image.width, image.height) == edge) return image;
  if (image.width < image.height) {
    return {edge, static_cast<int>(exact * image.height / image.width)};
  }
  return {static_cast<int>(exact * image.width / image.height), edge};
}

BilinearResize::Edge::Edge(int from, int to) {
  const double scale = static_cast<double>(from) / to;
  // Shrinking widens the triangle so that every source place counts (antialiasing).
  const double support = std::max(scale, 1.0);
  taps = static_cast<int>(std::ceil(support)) * 2 + 1;
  spans.reserve(static_cast<std::size_t>(to));
  weights.assign(static_cast<std::size_t>(to) * static_cast<std::size_t>(taps), 0);
  std::vector<double> exact(static_cast<std::size_t>(taps));
  for (int place = 0; place < to; ++place) {
    const double centre = (place + 0.5) * scale;
    const int begin = std::max(static_cast<int>(centre - support + 0.5), 0);
    const int end = std::min(static_cast<int>(centre + support + 0.5), from);
    double sum = 0;
    for (int i = 0; i < end - begin; ++i) {
      const double distance = std::abs((i + begin - centre + 0.5) * (1.0 / support));
      exact[static_cast<std::size_t>(i)] = std::max(1.0 - distance, 0.0);
      sum += exact[static_cast<std::size_t>(i)];
    }
    std::int32_t* fixed = weights.data() + static_cast<std::ptrdiff_t>(place) * taps;
    for (int i = 0; i < end - begin; ++i) {
      fixed[i] = static_cast<std::int32_t>(0.5 + exact[static_cast<std::size_t>(i)] / sum *
                                                     (1 << kPrecisionBits));
    }
    spans.push_back({begin, end - begin});
    max_taps = std::max(max_taps, end - begin);
  }
}

BilinearResize::BilinearResize(ImageSize from, ImageSize to)
    : from_(from),
      to_(to),
      columns_(with_memory("resize weights", [&] { return Edge(from.width, to.width); })),
      rows_(with_memory("resize weights", [&] { return Edge(from.height, to.height); })),
      rows_first_(from.height > to.height &&
                  from.height - to.height > 2 * (from.width - to.width)) {}

std::size_t BilinearResize::scratch_bytes(int count) const noexcept {
  if (rows_first_) return static_cast<std::size_t>(from_.width) * kChannels;
  // Source rows that `count` neighbouring rows can span.
  const double spread = static_cast<double>(from_.height) / to_.height * count;
  const auto source_rows =
      std::min(static_cast<std::size_t>(from_.height),
               static_cast<std::size_t>(spread) + static_cast<std::size_t>(rows_.max_taps) + 1);
  return source_rows * static_cast<std::size_t>(to_.width) * kChannels;
}

void BilinearResize::resize_rows(const ImageView& image, int first, int count, std::uint8_t* output,
                                 std::uint8_t* scratch) const {
  const std::ptrdiff_t from_bytes = static_cast<std::ptrdiff_t>(from_.width) * kChannels;
  const std::ptrdiff_t to_bytes = static_cast<std::ptrdiff_t>(to_.width) * kChannels;
  if (rows_first_) {
    for (int row = first; row < first + count; ++row) {
      const int begin = rows_.spans[static_cast<std::size_t>(row)].begin;
      blend_rows(image.pixels + begin * image.stride(), image.stride(), row, from_bytes, scratch);
      resize_columns(scratch, output + (row - first) * to_bytes);
    }
    return;
  }
  const int begin = rows_.spans[static_cast<std::size_t>(first)].begin;
  const Edge::Span last = rows_.spans[static_cast<std::size_t>(first + count - 1)];
  for (int row = begin; row < last.begin + last.count; ++row) {
    resize_columns(image.pixels + row * image.stride(), scratch + (row - begin) * to_bytes);
  }
  for (int row = first; row < first + count; ++row) {
    const int offset = rows_.spans[static_cast<std::size_t>(row)].begin - begin;
    blend_rows(scratch + offset * to_bytes, to_bytes, row, to_bytes,
               output + (row - first) * to_bytes);
  }
}

void BilinearResize::resize_columns(const std::uint8_t* source, std::uint8_t* target) const {
  if (from_.width == to_.width) {
    std::copy_n(source, static_cast<std::ptrdiff_t>(to_.width) * kChannels, target);
    return;
  }
  const std::int32_t* weights = columns_.weights.data();
  for (const Edge::Span& span : columns_.spans) {
    const std::uint8_t* pixel = source + static_cast<std::ptrdiff_t>(span.begin) * kChannels;
    std::int32_t red = kHalf;
    std::int32_t green = kHalf;
    std::int32_t blue = kHalf;
    for (int i = 0; i < span.count; ++i) {
      red += pixel[0] * weights[i];
      green += pixel[1] * weights[i];
      blue += pixel[2] * weights[i];
      pixel += kChannels;
    }
    target[0] = to_pixel(red);
    target[1] = to_pixel(green);
    target[2] = to_pixel(blue);
    target += kChannels;
    weights += columns_.taps;
  }
}

void BilinearResize::blend_rows(const std::uint8_t* source, std::ptrdiff_t stride, int row,
                                std::ptrdiff_t bytes, std::uint8_t* target) const {
  if (from_.height == to_.height) {
    std::copy_n(source, bytes, target);
    return;
  }
  const int count = rows_.spans[static_cast<std::size_t>(row)].count;
  const std::int32_t* weights =
      rows_.weights.data() + static_cast<std::ptrdiff_t>(row) * rows_.taps;
  // Blocks keep the sums in registers or the L1 cache.
  constexpr std::ptrdiff_t kBlock = 512;
  std::int32_t sums[kBlock];
  for (std::ptrdiff_t begin = 0; begin < bytes; begin += kBlock) {
    const std::ptrdiff_t width = std::min(kBlock, bytes - begin);
    std::fill_n(sums, width, kHalf);
    for (int i = 0; i < count; ++i) {
      const std::uint8_t* pixels = source + i * stride + begin;
      for (std::ptrdiff_t c = 0; c < width; ++c) sums[c] += pixels[c] * weights[i];
    }
    for (std::ptrdiff_t c = 0; c < width; ++c) target[begin + c] = to_pixel(sums[c]);
  }
}

void resize_bilinear(const ImageView& image, ImageSize to, std::uint8_t* output, ThreadPool* pool) {
  // A band's resized source rows stay in the L2 cache between the two passes.
  constexpr int kBand = 32;
  const BilinearResize resize({image.width, image.height}, to);
  const std::size_t scratch_bytes = resize.scratch_bytes(kBand);
  const int workers = pool != nullptr ? pool->size() : 1;
  auto scratch = with_memory("resized rows", [&] {
    return std::vector<std::uint8_t>(scratch_bytes * static_cast<std::size_t>(workers));
  });
  const auto resize_band = [&](std::int64_t band, int worker) {
    const int first = static_cast<int>(band) * kBand;
    resize.resize_rows(image, first, std::min(kBand, to.height - first),
                       output + static_cast<std::ptrdiff_t>(first) * to.width * kChannels,
                       scratch.data() + scratch_bytes * static_cast<std::size_t>(worker));
  };
  const std::int64_t bands = (to.height + kBand - 1) / kBand;
  if (pool != nullptr) {
    pool->parallel_for(bands, resize_band);
  } else {
    for (std::int64_t band = 0; band < bands; ++band) resize_band(band, 0);
  }
}

}  // namespace itemcrop::ops
