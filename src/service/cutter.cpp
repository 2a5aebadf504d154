#include "service/cutter.h"

#include <algorithm>
#include <utility>

#include "image/decode.h"
#include "items/naming.h"
#include "service/metrics.h"

namespace itemcrop::service {
namespace {

using Clock = std::chrono::steady_clock;

class Stopwatch {
 public:
  double milliseconds() const {
    return std::chrono::duration<double, std::milli>(Clock::now() - start_).count();
  }

 private:
  Clock::time_point start_ = Clock::now();
};

/// What a request's words become for one model: items of the taxonomy first, then the caller's own.
struct Search {
  std::optional<taxonomy::Plan> plan;
  std::vector<Item> items;
  ScoringOptions scoring;
};

Search plan_search(const CutRequest& request, const taxonomy::Taxonomy& words) {
  Search search;
  search.scoring = request.scoring;
  if (!request.categories.empty()) {
    taxonomy::CropPlanOptions options;
    options.threshold = request.threshold;
    if (request.legacy_names) {
      options.count = request.category_count;
    } else {
      options.count_each = request.scoring.count.value_or(0);
    }
    search.plan = taxonomy::plan_crop(words, request.categories, options);
    search.plan->selection.nms_iou = request.scoring.nms_iou;
    search.plan->selection.containment = request.scoring.containment;
    search.items = search.plan->items;
    // The plan's threshold is the taxonomy's; that of the caller's own items may differ.
    for (Item& item : search.items) {
      if (!item.threshold) item.threshold = search.plan->scoring.threshold;
    }
    if (request.items.empty()) search.scoring = search.plan->scoring;
  }
  search.items.insert(search.items.end(), request.items.begin(), request.items.end());
  return search;
}

/// The answer in the caller's terms: found categories, then found items.
void read_answer(const Search& search, const DetectResult& result, const CutRequest& request,
                 const ImageView& picture, CutImage& image) {
  const std::size_t planned = search.plan ? search.plan->items.size() : 0;
  if (search.plan) {
    std::vector<Detection> theirs;
    for (const Detection& detection : result.detections) {
      if (detection.item_index >= 0 && static_cast<std::size_t>(detection.item_index) < planned) {
        theirs.push_back(detection);
      }
    }
    taxonomy::Selection selection = taxonomy::select(*search.plan, theirs);
    if (request.describe) taxonomy::describe(*search.plan, picture, selection);
    for (const taxonomy::Found& found : selection.found) {
      CutItem item;
      item.detection = theirs[found.detection];
      item.detection.score = found.score;
      item.detection.box = found.box;
      item.category = found.category;
      item.prompt = found.prompt;
      item.description = found.description;
      item.detection.item = search.plan->targets[found.target].word;
      image.items.push_back(std::move(item));
    }
    image.not_found = selection.not_found;
  }
  for (const Detection& detection : result.detections) {
    if (detection.item_index >= 0 && static_cast<std::size_t>(detection.item_index) < planned) {
      continue;
    }
    CutItem item;
    item.detection = detection;
    item.prompt = detection.item;
    item.description = detection.item;
    image.items.push_back(std::move(item));
  }
  if (search.scoring.labels == LabelMode::kTokens) {  // detections then have no item
    image.not_found = result.not_found;
    return;
  }
  for (std::size_t i = planned; i < search.items.size(); ++i) {
    const bool found =
        std::any_of(result.detections.begin(), result.detections.end(),
                    [i](const Detection& each) { return each.item_index == static_cast<int>(i); });
    if (!found && !search.items[i].distractor) image.not_found.push_back(search.items[i].prompt);
  }
}

/// A stop is the caller's leaving or its deadline; says which.
[[noreturn]] void rethrow_stop(const std::exception_ptr& problem, const Caller& caller) {
  try {
    std::rethrow_exception(problem);
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kCancelled && caller.deadline &&
        Clock::now() >= *caller.deadline) {
      throw Error(ErrorCode::kDeadlineExceeded,
                  "the request's deadline passed before it was answered");
    }
    throw;
  }
}

std::string crop_file_name(const CutRequest& request, const CutImage& image, std::size_t index,
                           const CutItem& item) {
  const int number = static_cast<int>(index) + 1;
  if (request.legacy_names) return items::legacy_crop_name(number, item.prompt);
  return items::crop_name(items::slug(image.id), number, item.detection.item,
                          image::extension(request.crop.format));
}

}  // namespace

const taxonomy::Taxonomy& Cutter::taxonomy_for(const std::string& model) const {
  return parts_.taxonomies->for_model(model.empty() ? parts_.registry->default_name() : model);
}

Awaitable<CutImage> Cutter::cut(const ImageSource& source, const CutRequest& request,
                                const Caller& caller) {
  CutImage image;
  image.id = source.id;
  image.model = request.model.empty() ? parts_.registry->default_name() : request.model;
  try {
    co_await cut_into(source, request, caller, image);
  } catch (...) {
    image.error = trouble_of(std::current_exception());
    image.items.clear();
    image.not_found.clear();
  }
  co_return image;
}

Awaitable<void> Cutter::cut_into(const ImageSource& source, const CutRequest& request,
                                 const Caller& caller, CutImage& image) {
  const Search search = plan_search(request, taxonomy_for(request.model));
  auto bytes = co_await fetch(source, caller, image.timing);
  const LoadedPicture picture = co_await decode(std::move(bytes), image.timing);
  image.width = picture.picture->width();
  image.height = picture.picture->height();
  const scheduler::Outcome outcome =
      co_await find(picture, request.model, search.items, search.scoring, caller, image.timing);
  image.model = outcome.model;
  image.device = std::string(to_string(outcome.device.device));
  image.precision = std::string(to_string(outcome.precision));
  co_await run_blocking(parts_.work_pool, [&] {
    read_answer(search, outcome.result, request, picture.picture->view(), image);
  });
  if (!request.legacy_names) {  // the old contract keeps the order of the categories
    std::stable_sort(image.items.begin(), image.items.end(), [](const auto& a, const auto& b) {
      return a.detection.score > b.detection.score;
    });
  }
  if (request.crops) co_await make_crops(picture, request, caller, image);
  parts_.metrics->crops(request.crops ? image.items.size() : 0, image.not_found.size());
}

Awaitable<std::shared_ptr<const Bytes>> Cutter::fetch(const ImageSource& source,
                                                      const Caller& caller, CutTiming& timing) {
  if (const auto* sent = std::get_if<std::shared_ptr<const Bytes>>(&source.from)) co_return *sent;
  const Stopwatch watch;
  const std::string& url = std::get<std::string>(source.from);
  std::shared_ptr<const Bytes> bytes;
  std::exception_ptr problem;
  co_await run_blocking(parts_.fetch_pool, [&] {
    try {
      if (caller.gone.stop_requested()) {
        throw Error(ErrorCode::kCancelled, "the client left before its picture was fetched");
      }
      bytes = std::make_shared<const Bytes>(parts_.fetcher->fetch(url, caller.gone));
    } catch (...) {
      problem = std::current_exception();
    }
  });
  timing.fetch = watch.milliseconds();
  parts_.metrics->fetch(timing.fetch / 1000, problem != nullptr);
  if (problem) rethrow_stop(problem, caller);
  co_return bytes;
}

Awaitable<LoadedPicture> Cutter::decode(std::shared_ptr<const Bytes> bytes, CutTiming& timing) {
  const Stopwatch watch;
  image::Limits limits;
  limits.max_pixels = parts_.settings.max_pixels;
  limits.max_bytes = static_cast<std::size_t>(parts_.settings.max_image_bytes);
  LoadedPicture loaded{std::move(bytes), nullptr};
  co_await run_blocking(parts_.work_pool, [&] {
    loaded.picture = std::make_shared<const image::Picture>(
        image::decode(*loaded.bytes, image::DecodeOptions{}, limits));
  });
  timing.decode = watch.milliseconds();
  co_return loaded;
}

Awaitable<scheduler::Outcome> Cutter::find(const LoadedPicture& picture, const std::string& model,
                                           std::vector<Item> items, const ScoringOptions& scoring,
                                           const Caller& caller, CutTiming& timing) {
  scheduler::Work work;
  work.model = model;
  work.owner = picture.picture;
  work.request.image = picture.picture->view();
  work.request.items = std::move(items);
  work.request.scoring = scoring;
  work.priority = caller.priority;
  work.deadline = caller.deadline;
  work.stop = caller.gone;
  scheduler::Outcome outcome;
  std::exception_ptr problem;
  co_await await_callback([&](std::function<void()> done) {
    try {
      // Whoever calls back does so once the answer is here, so the references hold.
      parts_.scheduler->submit(
          std::move(work),
          [&outcome, &problem, done](std::exception_ptr failed, scheduler::Outcome answer) {
            problem = std::move(failed);
            outcome = std::move(answer);
            done();
          });
    } catch (...) {
      problem = std::current_exception();
      done();
    }
  });
  if (problem) rethrow_stop(problem, caller);
  timing.queue = outcome.queue_ms;
  timing.preprocess = outcome.result.timing.preprocess;
  timing.model = outcome.result.timing.model;
  timing.postprocess = outcome.result.timing.postprocess;
  co_return outcome;
}

Awaitable<void> Cutter::make_crops(const LoadedPicture& picture, const CutRequest& request,
                                   const Caller& caller, CutImage& image) {
  const Stopwatch encoding;
  co_await run_blocking(parts_.work_pool, [&] {
    const ImageView view = picture.picture->view();
    for (std::size_t i = 0; i < image.items.size(); ++i) {
      CutItem& item = image.items[i];
      const image::PixelRect rect =
          image::crop_rect(item.detection.box, view.width, view.height, request.crop);
      CropFile crop;
      crop.width = rect.width;
      crop.height = rect.height;
      crop.content_type = image::content_type(request.crop.format);
      crop.bytes = std::make_shared<const Bytes>(
          image::encode(image::sub_view(view, rect), request.crop.format, {request.crop.quality}));
      crop.name = crop_file_name(request, image, i, item);
      item.crop = std::move(crop);
    }
  });
  image.timing.encode = encoding.milliseconds();
  if (request.return_kind != ReturnKind::kUrl || parts_.store == nullptr) co_return;

  const Stopwatch storing;
  // A name of its own for every answer: nobody can guess or overwrite another's crops.
  const std::string folder = http::random_id();
  std::exception_ptr problem;
  co_await run_blocking(parts_.fetch_pool, [&] {
    try {
      for (CutItem& item : image.items) {
        const Stopwatch one;
        CropFile& crop = *item.crop;
        crop.url = parts_.store->put(folder + "/" + crop.name, *crop.bytes, crop.content_type,
                                     caller.gone);
        if (crop.url.starts_with('/')) crop.url.insert(0, caller.base_url);
        crop.bytes.reset();
        parts_.metrics->store(one.milliseconds() / 1000);
      }
    } catch (...) {
      problem = std::current_exception();
    }
  });
  if (problem) rethrow_stop(problem, caller);
  image.timing.store = storing.milliseconds();
}

}  // namespace itemcrop::service
