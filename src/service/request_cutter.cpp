#include "service/request_cutter.h"

#include <algorithm>
#include <utility>

#include "service/requests/origin_policy.h"

namespace itemcrop::service {
namespace {

/// Images of one request that are worked on at a time: enough to fill a batch, few enough that one
/// caller does not fill the queue.
constexpr std::size_t kPicturesAtATime = 8;

}  // namespace

Caller caller_of(const http::Request& request, const Settings& settings) {
  Caller caller;
  caller.deadline = request.deadline;
  caller.gone = request.gone;
  caller.base_url = base_url_of(request, settings);
  return caller;
}

void throw_if_all_failed(const std::vector<CutImage>& images) {
  const bool all = std::all_of(images.begin(), images.end(),
                               [](const CutImage& image) { return image.error.has_value(); });
  if (!all) return;
  const bool same = std::all_of(images.begin(), images.end(), [&](const CutImage& image) {
    return image.error->status == images.front().error->status;
  });
  if (images.size() == 1 || (same && images.front().error->status >= 429)) {
    throw Troubled(*images.front().error);
  }
}

Awaitable<std::vector<CutImage>> RequestCutter::cut(const http::Request& request,
                                                    const CutRequest& cut) const {
  Caller caller = caller_of(request, parts_.settings);
  if (cut.deadline) caller.deadline = std::min(request.deadline, request.arrived + *cut.deadline);
  const Patience patience(parts_.pool, caller.deadline, caller.gone);
  caller.gone = patience.token();
  std::vector<CutImage> images(cut.images.size());
  const std::size_t at_a_time =
      std::min({images.size(), kPicturesAtATime,
                static_cast<std::size_t>(parts_.settings.share_of(parts_.settings.max_queued))});
  // The first was counted when the request's body had arrived.
  const Lease lease =
      take_images(parts_.budgets, parts_.scheduler, static_cast<std::int64_t>(at_a_time) - 1,
                  call_of(request).caller);
  std::vector<std::function<Awaitable<void>()>> tasks;
  for (std::size_t i = 0; i < images.size(); ++i) {
    tasks.push_back([this, i, &images, &cut, &caller]() -> Awaitable<void> {
      images[i] = co_await parts_.cutter.cut(cut.images[i], cut, caller);
    });
  }
  co_await gather(std::move(tasks), at_a_time);
  co_return images;
}

}  // namespace itemcrop::service
