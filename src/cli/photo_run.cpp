#include "cli/photo_run.h"

#include <exception>
#include <new>
#include <span>
#include <utility>

#include "crop/search.h"

namespace itemcrop::cli {
namespace {

/// Errors that every other photo would meet as well.
bool ends_the_run(ErrorCode code) {
  return code == ErrorCode::kDeviceLost || code == ErrorCode::kUnsupportedDevice ||
         code == ErrorCode::kCorruptModel || code == ErrorCode::kUnsupportedModel;
}

DetectRequest request_of(const ImageView& view, const PhotoArguments& arguments) {
  return {view, arguments.search.items, arguments.search.scoring};
}

/// Bad items and options are the same for every photo: say so once, before any work.
void check_request(const Model& model, const PhotoArguments& arguments) {
  const std::vector<std::uint8_t> grey(3 * 64 * 64, 128);
  const DetectRequest probe = request_of({grey.data(), 64, 64, 0}, arguments);
  model.estimate(std::span(&probe, 1), arguments.detect);
}

class Runner {
 public:
  Runner(const Model& model, const PhotoArguments& arguments, PhotoSink& sink)
      : model_(model), arguments_(arguments), sink_(sink) {}

  /// Detects in all decoded photos of the batch with one call; if that fails, one by one, so that
  /// only the photo at fault fails.
  void run(const std::vector<DecodedPhoto>& batch) {
    std::vector<const DecodedPhoto*> decoded;
    for (const DecodedPhoto& photo : batch) {
      if (photo.image) decoded.push_back(&photo);
    }
    std::vector<DetectResult> results;
    const bool together = decoded.size() > 1 && detect_together(decoded, results);
    std::size_t next = 0;
    for (const DecodedPhoto& photo : batch) {
      crop::ImageResult result = start(photo);
      if (together && photo.image) {
        adopt(results[next++], photo, result);
      } else if (photo.image) {
        detect_alone(photo, result);
      }
      sink_.take(std::move(result), photo.image ? &*photo.image : nullptr);
    }
  }

 private:
  static crop::ImageResult start(const DecodedPhoto& photo) {
    crop::ImageResult result;
    result.id = photo.source.name;
    result.timing.decode = photo.decode_ms;
    result.error = photo.error;
    if (photo.image) {
      result.width = photo.image->width();
      result.height = photo.image->height();
    }
    return result;
  }

  void adopt(const DetectResult& detected, const DecodedPhoto& photo,
             crop::ImageResult& result) const {
    crop::FoundItems found = crop::select_items(arguments_.search, detected, photo.image->view());
    result.items = std::move(found.items);
    result.not_found = std::move(found.not_found);
    result.timing.preprocess = detected.timing.preprocess;
    result.timing.model = detected.timing.model;
    result.timing.postprocess = detected.timing.postprocess;
  }

  std::vector<DetectResult> detect(std::span<const DetectRequest> requests) {
    DetectReport report = model_.detect(requests, arguments_.detect);
    sink_.ran_on(report.device, report.precision);
    return std::move(report.results);
  }

  bool detect_together(const std::vector<const DecodedPhoto*>& photos,
                       std::vector<DetectResult>& results) {
    std::vector<DetectRequest> requests;
    for (const DecodedPhoto* photo : photos) {
      requests.push_back(request_of(photo->image->view(), arguments_));
    }
    try {
      results = detect(requests);
      return true;
    } catch (const Error& error) {
      if (ends_the_run(error.code())) throw;
      return false;
    } catch (const std::bad_alloc&) {
      return false;
    }
  }

  void detect_alone(const DecodedPhoto& photo, crop::ImageResult& result) {
    const DetectRequest request = request_of(photo.image->view(), arguments_);
    try {
      adopt(detect(std::span(&request, 1)).front(), photo, result);
    } catch (const Error& error) {
      if (ends_the_run(error.code())) throw;
      result.error = error;
    } catch (const std::bad_alloc&) {
      result.error = Error(ErrorCode::kOutOfMemory, "not enough memory to run the model");
    }
  }

  const Model& model_;
  const PhotoArguments& arguments_;
  PhotoSink& sink_;
};

}  // namespace

void run_photos(const Model& model, const std::vector<PhotoSource>& sources,
                const PhotoArguments& arguments, const PhotoReader& reader, PhotoSink& sink) {
  check_request(model, arguments);
  const auto batch_size = static_cast<std::size_t>(arguments.batch);
  DecodeAhead decoding(sources, reader, batch_size + 1);
  Runner runner(model, arguments, sink);
  std::vector<DecodedPhoto> batch;
  while (auto photo = decoding.next()) {
    batch.push_back(std::move(*photo));
    if (batch.size() == batch_size) runner.run(std::exchange(batch, {}));
  }
  if (!batch.empty()) runner.run(batch);
}

}  // namespace itemcrop::cli
