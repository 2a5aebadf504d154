#include "service/pipeline.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "core/stop.h"
#include "core/stopwatch.h"
#include "image/decoder.h"
#include "items/naming.h"
#include "service/http/message.h"
#include "service/metrics.h"

namespace itemcrop::service {
namespace {

/// An error that a stop caused says whether it was the deadline.
[[noreturn]] void rethrow(const std::exception_ptr& problem, const Caller& caller) {
  try {
    std::rethrow_exception(problem);
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kCancelled && caller.deadline &&
        std::chrono::steady_clock::now() >= *caller.deadline) {
      throw Error(ErrorCode::kDeadlineExceeded,
                  "the request's deadline passed before it was answered");
    }
    throw;
  }
}

}  // namespace

Error error_of(const std::exception_ptr& problem) {
  try {
    std::rethrow_exception(problem);
  } catch (const Error& error) {
    return error;
  } catch (const std::bad_alloc&) {
    return Error(ErrorCode::kOutOfMemory, "the service is out of memory").with_retry_after(1);
  } catch (...) {
    return {ErrorCode::kInternal, "an unexpected error, which the service's log describes"};
  }
}

std::string crop_name(const std::string& stem, int number, const crop::FoundItem& item,
                      image::Format format) {
  return items::crop_name(stem, number, item.detection.item, image::extension(format));
}

Awaitable<crop::ImageResult> Pipeline::process(const ImageSource& source, const ImageTask& task,
                                               crop::CropQuota& quota, const Caller& caller) {
  crop::ImageResult result;
  result.id = source.id;
  result.placement.model = task.model;
  std::exception_ptr problem;
  try {
    auto bytes = co_await fetch(source, caller, result.timing);
    const LoadedImage image = co_await decode(std::move(bytes), caller, result.timing);
    co_await find(image, task, quota, caller, result);
  } catch (...) {
    problem = std::current_exception();
  }
  if (problem) {
    try {
      rethrow(problem, caller);
    } catch (...) {
      result.error = error_of(std::current_exception());
    }
    result.items.clear();
    result.preview.reset();
    result.not_found.clear();
  }
  co_return result;
}

Awaitable<std::shared_ptr<const crop::Bytes>> Pipeline::fetch(const ImageSource& source,
                                                              const Caller& caller,
                                                              crop::Timing& timing) {
  using SharedBytes = std::shared_ptr<const crop::Bytes>;
  if (const auto* sent = std::get_if<SharedBytes>(&source.from)) co_return *sent;
  const Stopwatch watch;
  const std::string& url = std::get<std::string>(source.from);
  /// Gives its room back with the last reference to the bytes.
  struct Download {
    Lease lease;
    crop::Bytes bytes;
  };
  const auto download = std::make_shared<Download>();
  download->lease = co_await wait_for(parts_.downloads, max_download(), caller);
  std::exception_ptr problem;
  co_await run_blocking(parts_.pools.downloads, [&] {
    try {
      throw_if_stopped(caller.stop);
      download->bytes = parts_.fetcher->fetch(url, caller.stop);
    } catch (...) {
      problem = std::current_exception();
    }
  });
  timing.fetch = watch.milliseconds();
  parts_.metrics->fetch(timing.fetch / 1000, problem != nullptr);
  if (problem) rethrow(problem, caller);
  const auto size = static_cast<std::int64_t>(download->bytes.size());
  if (size < download->lease.amount()) download->lease.resize(size);
  co_return SharedBytes(download, &download->bytes);
}

std::int64_t Pipeline::max_download() const {
  const Budget::Limits& limits = parts_.downloads.limits();
  return std::min(static_cast<std::int64_t>(parts_.limits.max_bytes), limits.for_each_caller());
}

Awaitable<Lease> Pipeline::wait_for(Budget& budget, std::int64_t amount, const Caller& caller) {
  Lease lease;
  std::exception_ptr problem;
  co_await await_callback([&](const std::function<void()>& done) {
    try {
      budget.wait_async(amount, caller.name, caller.stop,
                        [&, done](std::exception_ptr failed, Lease given) {
                          problem = std::move(failed);
                          lease = std::move(given);
                          done();
                        });
    } catch (...) {
      problem = std::current_exception();
      done();
    }
  });
  if (problem) rethrow(problem, caller);
  co_return lease;
}

Awaitable<LoadedImage> Pipeline::decode(std::shared_ptr<const crop::Bytes> bytes,
                                        const Caller& caller, crop::Timing& timing) {
  const Stopwatch watch;
  std::optional<image::Decoder> decoder;
  co_await run_blocking(parts_.pools.work, caller.name, [&] {
    decoder.emplace(*bytes, image::DecodeOptions{}, parts_.limits, caller.stop);
  });
  LoadedImage loaded;
  loaded.lease = co_await wait_for(parts_.decoding, decoder->peak_bytes(), caller);
  co_await run_blocking(parts_.pools.work, caller.name, [&] {
    loaded.pixels = std::make_shared<const image::Image>(decoder->decode());
    decoder.reset();
    bytes.reset();
  });
  loaded.lease.resize(std::int64_t{3} * loaded.pixels->width() * loaded.pixels->height());
  timing.decode = watch.milliseconds();
  co_return loaded;
}

Awaitable<void> Pipeline::find(const LoadedImage& image, const ImageTask& task,
                               crop::CropQuota& quota, const Caller& caller,
                               crop::ImageResult& result) {
  const ImageView view = image.pixels->view();
  result.width = view.width;
  result.height = view.height;
  const scheduler::Outcome outcome = co_await detect(image, task, caller);
  result.placement = {outcome.model, std::string(to_string(outcome.device.device)),
                      std::string(to_string(outcome.precision))};
  result.timing.queue = outcome.queue_ms;
  result.timing.preprocess = outcome.result.timing.preprocess;
  result.timing.model = outcome.result.timing.model;
  result.timing.postprocess = outcome.result.timing.postprocess;
  std::vector<PixelRect> rects;
  co_await run_blocking(parts_.pools.work, caller.name, [&] {
    crop::FoundItems found = crop::select_items(task.search, outcome.result, view, caller.stop);
    result.items = std::move(found.items);
    result.not_found = std::move(found.not_found);
    if (task.preview > 0) {
      result.preview = crop::make_preview(view, task.preview, quota, caller.stop);
    }
    if (task.crops) rects = crop::plan_crops(view, task.crop, result.items, quota);
  });
  const std::string stem = items::slug(result.id);
  double encode = 0;
  for (std::size_t i = 0; i < rects.size(); ++i) {
    crop::FoundItem& item = result.items[i];
    // Each in its turn: others have crops to make too.
    co_await run_blocking(parts_.pools.work, caller.name, [&] {
      const Stopwatch watch;
      crop::make_planned_crop(view, rects[i], task.crop, item, quota, caller.stop);
      encode += watch.milliseconds();
    });
    item.crop->name = task.crop_name(stem, static_cast<int>(i) + 1, item, task.crop.format);
  }
  if (task.crops) result.timing.encode = encode;
  if (task.crops && task.store && parts_.store != nullptr) co_await store(caller, result);
  parts_.metrics->crops(task.crops ? result.items.size() : 0, result.not_found.size());
}

Awaitable<scheduler::Outcome> Pipeline::detect(const LoadedImage& image, const ImageTask& task,
                                               const Caller& caller) {
  scheduler::Task detect_task;
  detect_task.model = task.model;
  detect_task.keep_alive = image.pixels;
  detect_task.request.image = image.pixels->view();
  detect_task.request.items = task.search.items;
  detect_task.request.scoring = task.search.scoring;
  detect_task.priority = caller.priority;
  detect_task.caller = caller.name;
  detect_task.deadline = caller.deadline;
  detect_task.stop = caller.stop;
  scheduler::Outcome outcome;
  std::exception_ptr problem;
  co_await await_callback([&](const std::function<void()>& done) {
    try {
      // Whoever calls back does so once the result is here, so the references hold.
      parts_.scheduler->submit(
          std::move(detect_task),
          [&outcome, &problem, done](std::exception_ptr failed, scheduler::Outcome result) {
            problem = std::move(failed);
            outcome = std::move(result);
            done();
          });
    } catch (...) {
      problem = std::current_exception();
      done();
    }
  });
  if (problem) rethrow(problem, caller);
  co_return outcome;
}

Awaitable<void> Pipeline::store(const Caller& caller, crop::ImageResult& result) {
  const Stopwatch watch;
  // A folder of its own for every image: nobody can guess or overwrite another's crops.
  const std::string folder = http::random_id();
  std::exception_ptr problem;
  co_await run_blocking(parts_.pools.uploads, [&] {
    try {
      for (crop::FoundItem& item : result.items) {
        throw_if_stopped(caller.stop);
        const Stopwatch one;
        crop::CropFile& crop = *item.crop;
        crop.url = parts_.store->put(folder + "/" + crop.name, *crop.bytes, crop.content_type,
                                     caller.stop);
        if (crop.url.starts_with('/')) crop.url.insert(0, caller.base_url);
        crop.bytes.reset();
        parts_.metrics->store(one.seconds());
      }
    } catch (...) {
      problem = std::current_exception();
    }
  });
  if (problem) rethrow(problem, caller);
  result.timing.store = watch.milliseconds();
}

}  // namespace itemcrop::service
