#include "service/request_runner.h"

#include <algorithm>
#include <utility>

#include "crop/hints.h"

namespace itemcrop::service {
namespace {

/// Images of one request that are worked on at a time: enough to fill a batch, few enough that one
/// caller does not fill the queue.
constexpr std::size_t kImagesAtATime = 8;

/// Errors that another image, or the same one sent otherwise, would not have met.
bool is_of_the_image(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidArgument:
    case ErrorCode::kNotFound:
    case ErrorCode::kUnsupportedImage:
    case ErrorCode::kCorruptImage:
    case ErrorCode::kLimitExceeded:
    case ErrorCode::kForbidden:
    case ErrorCode::kBadImageUrl:
      return true;
    default:
      return false;
  }
}

}  // namespace

Caller caller_of(const http::Request& request, std::optional<std::chrono::milliseconds> limit) {
  Caller caller;
  caller.name = call_of(request).caller;
  caller.deadline = request.deadline;
  if (limit) caller.deadline = std::min(request.deadline, request.arrived + *limit);
  caller.stop = request.gone;
  caller.base_url = call_of(request).base_url;
  return caller;
}

crop::CropLimits crop_limits(const Settings& settings) {
  return {settings.max_crops, settings.max_crop_pixels, settings.max_crop_bytes};
}

void throw_if_all_failed(const std::vector<crop::ImageResult>& images) {
  const crop::ImageResult& first = images.front();
  const bool all_alike =
      std::all_of(images.begin(), images.end(), [&](const crop::ImageResult& image) {
        return image.error && first.error && image.error->code() == first.error->code();
      });
  if (!all_alike) return;
  if (images.size() == 1 || !is_of_the_image(first.error->code())) throw Error(*first.error);
}

ImageTask RequestRunner::task_of(const CropRequest& request, CropName name) const {
  ImageTask task;
  task.model = model_of(request);
  task.search = crop::plan_search(request, parts_.taxonomies->for_model(task.model));
  task.crops = request.crops;
  task.store = request.return_kind == ReturnKind::kUrl;
  task.crop = request.crop;
  task.preview = request.preview;
  task.crop_name = name;
  return task;
}

const std::string& RequestRunner::model_of(const CropRequest& request) const {
  return request.model.empty() ? parts_.registry->default_name() : request.model;
}

std::vector<std::string> RequestRunner::hints(const CropRequest& request,
                                              const std::vector<crop::ImageResult>& images) const {
  if (!parts_.settings.hints || !request.hints) return {};
  const std::string& model = model_of(request);
  return crop::model_hints(request, images, parts_.taxonomies->for_model(model), model,
                           "itemcrop models pull " + parts_.better_model +
                               ", then itemcrop serve --model " + parts_.better_model);
}

Awaitable<RequestResults> RequestRunner::run(const CropRequest& wanted, const Caller& caller,
                                             CropName name) const {
  const ImageTask task = task_of(wanted, name);
  RequestResults results;
  results.images.resize(wanted.images.size());
  const std::size_t at_a_time =
      std::min({results.images.size(), kImagesAtATime,
                static_cast<std::size_t>(parts_.settings.share_of(parts_.settings.max_queued))});
  // The first was counted when the request's body had arrived.
  const Lease lease = take_images(parts_.budgets, *parts_.scheduler,
                                  static_cast<std::int64_t>(at_a_time) - 1, caller.name);
  crop::CropQuota quota(crop_limits(parts_.settings),
                        parts_.budgets.response_bytes.take(1, caller.name));
  std::vector<std::function<Awaitable<void>()>> tasks;
  for (std::size_t i = 0; i < results.images.size(); ++i) {
    tasks.emplace_back([this, i, &results, &wanted, &task, &quota, &caller]() -> Awaitable<void> {
      results.images[i] = co_await parts_.pipeline.process(wanted.images[i], task, quota, caller);
    });
  }
  co_await gather(std::move(tasks), at_a_time);
  results.lease = quota.take_lease();
  co_return results;
}

}  // namespace itemcrop::service
