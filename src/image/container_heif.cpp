#include <algorithm>
#include <functional>

#include "image/container.h"

namespace itemcrop::image {
namespace {

using namespace std::string_view_literals;

/// The first 12 bytes of every image spatial extents property: size 20, type, version and flags
/// (ISO/IEC 23008-12 section 6.5.3). Width and height follow. Found by search rather than by
/// walking the boxes: bytes that look like one by chance are a matter of 2^-96.
constexpr std::string_view kSpatialExtents = "\0\0\0\x14ispe\0\0\0\0"sv;

}  // namespace

Container open_heif(Bytes bytes, SourceFormat format, const Limits& limits) {
  const Bytes wanted = std::as_bytes(std::span(kSpatialExtents));
  const std::boyer_moore_horspool_searcher searcher(wanted.begin(), wanted.end());
  for (auto at = bytes.begin();;) {
    at = std::search(at, bytes.end(), searcher);
    if (at == bytes.end()) break;
    at += static_cast<std::ptrdiff_t>(wanted.size());
    ByteReader extents(Bytes(at, bytes.end()), to_string(format));
    const std::uint64_t width = extents.big<4>();
    const std::uint64_t height = extents.big<4>();
    check_dimensions(width, height, limits);
  }
  Container container;
  container.format = format;
  container.bytes = bytes;
  return container;
}

}  // namespace itemcrop::image
