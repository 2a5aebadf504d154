#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "itemcrop/error.h"

#include "image/decode.h"
#include "image/image.h"
#include "image/vips_object.h"

// Images made on the spot, with libvips as the writer, so that no file comes from elsewhere.
namespace itemcrop::image::testing {

using File = std::vector<std::byte>;

/// A procedural sRGB image of smooth ramps: no two corners alike, kind to lossy coding.
struct Pattern {
  int width = 0;
  int height = 0;
  std::vector<std::uint8_t> pixels;

  std::uint8_t at(int x, int y, int band) const {
    return pixels[static_cast<std::size_t>((y * width + x) * 3 + band)];
  }
};
Pattern make_pattern(int width, int height);

/// Any pixels as an image of `bands` 8-bit bands, tagged sRGB, B_W or CMYK to match.
VipsImagePtr to_vips(const std::vector<std::uint8_t>& pixels, int width, int height, int bands);
VipsImagePtr to_vips(const Pattern& pattern);
/// The same colours spread over 16 bits a sample.
VipsImagePtr to_16_bit(VipsImage* image);

/// Writes with a libvips suffix and options, such as ".jpg[Q=95]". Fails the test on error.
File save(VipsImage* image, const std::string& suffix);
File save(const Pattern& pattern, const std::string& suffix);

/// False where this libvips lacks the encoder (HEIC and AVIF depend on plug-ins).
bool can_save(const std::string& suffix);

/// One of each accepted format: name and a suffix that writes it.
struct Sample {
  std::string name;
  std::string suffix;
  int tolerance;  ///< largest error of a sample that the coding may cause on a Pattern
};
const std::vector<Sample>& samples();

/// Largest difference between two images of equal size, in levels.
int max_difference(const ImageView& a, const ImageView& b);
ImageView view_of(const Pattern& pattern);

File bytes_of(std::string_view text);
File join(const std::vector<File>& parts);
bool contains(const File& file, std::string_view text);

/// Big-endian (network) and little-endian integers of `size` bytes.
File big(std::uint64_t value, int size);
File little(std::uint64_t value, int size);

/// A PNG chunk with its checksum; a RIFF chunk with its padding.
File png_chunk(std::string_view type, const File& data);
File riff_chunk(std::string_view type, const File& data);
/// A PNG file with `chunk` put right behind its header chunk.
File with_png_chunk(const File& png, const File& chunk);
/// RIFF and WEBP around chunks.
File webp_file(const std::vector<File>& chunks);

/// An EXIF block (a TIFF header and one directory) that holds an orientation.
File exif_block(int orientation);
/// The pattern stored so that `orientation` brings it back, as a file that says so.
File save_oriented(const Pattern& upright, int orientation, const std::string& suffix);

/// Resident memory of this process now, in bytes.
std::size_t resident_bytes();

/// Processor time of a call over all threads, in milliseconds: what it costs, whatever else runs.
double milliseconds(const std::function<void()>& call);

/// The code of the Error that a call throws; fails the test if it throws none.
ErrorCode error_code(const std::function<void()>& call);

}  // namespace itemcrop::image::testing
