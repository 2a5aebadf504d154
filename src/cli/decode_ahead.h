#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "itemcrop/error.h"

#include "cli/photo_source.h"
#include "image/image.h"

namespace itemcrop::cli {

/// A photo after reading: an image or an error.
struct DecodedPhoto {
  PhotoSource source;
  std::optional<image::Image> image;
  std::optional<Error> error;
  double decode_ms = 0;
};

/// Reads one photo; throws Error.
using PhotoReader = std::function<image::Image(const PhotoSource&)>;

/// Decodes photos, in order, on a thread of its own while the model works on earlier ones. At most
/// `capacity` decoded photos wait, which bounds memory.
class DecodeAhead {
 public:
  DecodeAhead(std::vector<PhotoSource> sources, PhotoReader reader, std::size_t capacity);
  /// Stops after the photo in hand.
  ~DecodeAhead();
  DecodeAhead(const DecodeAhead&) = delete;
  DecodeAhead& operator=(const DecodeAhead&) = delete;

  /// The next photo, waiting for it; none after the last.
  std::optional<DecodedPhoto> next();

 private:
  void work();

  const std::vector<PhotoSource> sources_;
  const PhotoReader reader_;
  const std::size_t capacity_;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<DecodedPhoto> ready_;
  bool finished_ = false;  // no more will become ready
  bool stopping_ = false;
  std::thread worker_;  // last, so that everything above exists before it starts
};

}  // namespace itemcrop::cli
