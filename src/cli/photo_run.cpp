#include "cli/photo_run.h"

#include <exception>
#include <new>
#include <span>
#include <utility>

#include "taxonomy/plan.h"

namespace itemcrop::cli {
namespace {

/// Errors that every other photo would meet as well.
bool ends_the_run(ErrorCode code) {
  return code == ErrorCode::kDeviceLost || code == ErrorCode::kUnsupportedDevice ||
         code == ErrorCode::kCorruptModel || code == ErrorCode::kUnsupportedModel;
}

DetectRequest request_of(const ImageView& view, const PhotoArguments& arguments) {
  return {view, arguments.items, arguments.scoring};
}

/// Bad items and options are the same for every photo: say so once, before any work.
void check_request(const Model& model, const PhotoArguments& arguments) {
  const std::vector<std::uint8_t> grey(3 * 64 * 64, 128);
  const DetectRequest probe = request_of({grey.data(), 64, 64, 0}, arguments);
  model.estimate(std::span(&probe, 1), arguments.detect);
}

/// Keeps what the plan asked for, each thing once, with its category and description.
void file_under_categories(const taxonomy::Plan& plan, const DecodedPhoto& photo,
                           DetectResult& answer, PhotoResult& result) {
  taxonomy::Selection selection = taxonomy::select(plan, answer.detections);
  taxonomy::describe(plan, photo.picture->view(), selection);
  std::vector<Detection> kept;
  for (const taxonomy::Found& found : selection.found) {
    Detection detection = answer.detections[found.detection];
    detection.item = found.prompt;
    detection.item_index = static_cast<int>(found.item);
    detection.score = found.score;
    kept.push_back(std::move(detection));
    result.notes.push_back({found.category, found.description});
  }
  answer.detections = std::move(kept);
  answer.not_found = std::move(selection.not_found);
}

class Runner {
 public:
  Runner(const Model& model, const PhotoArguments& arguments, PhotoSink& sink)
      : model_(model), arguments_(arguments), sink_(sink) {}

  /// Detects in all decoded photos of the batch with one call; if that fails, one by one, so that
  /// only the photo at fault fails.
  void run(std::vector<DecodedPhoto> batch) {
    std::vector<const DecodedPhoto*> decoded;
    for (const DecodedPhoto& photo : batch) {
      if (photo.picture) decoded.push_back(&photo);
    }
    std::vector<DetectResult> results;
    const bool together = decoded.size() > 1 && detect_together(decoded, results);
    std::size_t next = 0;
    for (const DecodedPhoto& photo : batch) {
      PhotoResult result = start(photo);
      if (together && photo.picture) {
        adopt(std::move(results[next++]), photo, result);
      } else if (photo.picture) {
        detect_alone(photo, result);
      }
      sink_.take(std::move(result), photo.picture ? &*photo.picture : nullptr);
    }
  }

 private:
  static PhotoResult start(const DecodedPhoto& photo) {
    PhotoResult result;
    result.file = photo.source.name;
    result.decode_ms = photo.decode_ms;
    result.error = photo.failure;
    if (photo.picture) {
      result.width = photo.picture->width();
      result.height = photo.picture->height();
    }
    return result;
  }

  void adopt(DetectResult answer, const DecodedPhoto& photo, PhotoResult& result) const {
    if (arguments_.plan) file_under_categories(*arguments_.plan, photo, answer, result);
    result.detections = std::move(answer.detections);
    result.not_found = std::move(answer.not_found);
    result.timing = answer.timing;
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
      requests.push_back(request_of(photo->picture->view(), arguments_));
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

  void detect_alone(const DecodedPhoto& photo, PhotoResult& result) {
    const DetectRequest request = request_of(photo.picture->view(), arguments_);
    try {
      adopt(std::move(detect(std::span(&request, 1)).front()), photo, result);
    } catch (const Error& error) {
      if (ends_the_run(error.code())) throw;
      result.error = Failure{error.code(), error.what()};
    } catch (const std::bad_alloc&) {
      result.error = Failure{ErrorCode::kOutOfMemory, "not enough memory to run the model"};
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
  if (!batch.empty()) runner.run(std::move(batch));
}

}  // namespace itemcrop::cli
