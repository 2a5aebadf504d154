#pragma once

#include <vector>

#include "itemcrop/model.h"

#include "cli/arguments.h"
#include "cli/decode_ahead.h"
#include "crop/result.h"
#include "image/image.h"

namespace itemcrop::cli {

/// Receives photos in order, each once.
class PhotoSink {
 public:
  virtual ~PhotoSink() = default;
  /// What a model call ran on.
  virtual void ran_on(Device device, Precision precision) = 0;
  /// A finished photo; `image` is null when it could not be decoded. Throws Error to end the run.
  virtual void take(crop::ImageResult photo, const image::Image* image) = 0;
};

/// Decodes, detects in batches and hands on every photo. A photo that fails is handed on with its
/// error; in a batch it does not take its neighbours along. Throws Error when no photo can succeed:
/// bad items or options, a missing or lost device, output that cannot be written.
void run_photos(const Model& model, const std::vector<PhotoSource>& sources,
                const PhotoArguments& arguments, const PhotoReader& reader, PhotoSink& sink);

}  // namespace itemcrop::cli
