#include "service/analyzer.h"

#include <utility>

#include "crop/base64.h"

namespace itemcrop::service {
namespace {

taxonomy::AnalysisCacheOptions cache_options(const Settings& settings) {
  taxonomy::AnalysisCacheOptions options;
  options.time_to_live = milliseconds_of(settings.analysis_cache_seconds);
  options.max_bytes = static_cast<std::size_t>(settings.analysis_cache_bytes);
  return options;
}

std::unique_ptr<taxonomy::VlmClient> make_vlm(const Settings& settings,
                                              taxonomy::Transport transport) {
  if (settings.vlm_url.empty()) return nullptr;
  taxonomy::VlmOptions options;
  options.url = settings.vlm_url;
  options.key = settings.vlm_key;
  options.model = settings.vlm_model;
  options.deadline = milliseconds_of(settings.vlm_seconds);
  options.try_deadline = milliseconds_of(settings.vlm_seconds * 0.6);
  return std::make_unique<taxonomy::VlmClient>(std::move(options), std::move(transport));
}

std::vector<std::string> category_names(const taxonomy::Taxonomy& words) {
  std::vector<std::string> names;
  for (const taxonomy::Category& category : words.categories) {
    if (category.analyze) names.push_back(category.name);
  }
  return names;
}

}  // namespace

Analyzer::Analyzer(Cutter& cutter, taxonomy::Transport transport)
    : cutter_(cutter),
      vlm_(make_vlm(cutter.parts().settings, std::move(transport))),
      cache_(cache_options(cutter.parts().settings)) {}

Awaitable<Analyzer::Answer> Analyzer::analyze(const ImageSource& source, const Caller& caller) {
  CutTiming timing;
  auto bytes = co_await cutter_.fetch(source, caller, timing);
  const Settings& settings = cutter_.parts().settings;
  const auto served = cutter_.parts().registry->get();
  // The URLs of crops are part of what is kept, so the way they are reached is part of the key.
  const std::string conditions = served->name + '\n' + std::to_string(served->generation) + '\n' +
                                 cutter_.taxonomy_for({}).name + '\n' + settings.vlm_url + '\n' +
                                 settings.vlm_model + '\n' + caller.base_url;
  std::string key;
  co_await run_blocking(cutter_.parts().work_pool,
                        [&] { key = taxonomy::analysis_key(*bytes, conditions); });
  taxonomy::AnalysisCache::Outcome joined;
  co_await await_callback([&](std::function<void()> done) {
    cache_.join(key, [&joined, done = std::move(done)](taxonomy::AnalysisCache::Outcome outcome) {
      joined = std::move(outcome);
      done();
    });
  });
  if (joined.problem) std::rethrow_exception(joined.problem);
  if (joined.value) co_return Answer{std::move(joined.value), joined.cached};

  std::exception_ptr problem;
  try {
    auto value = std::make_shared<const taxonomy::AnalysisResult>(
        co_await compute(std::move(bytes), caller, timing));
    joined.ticket->complete(value);
    co_return Answer{std::move(value), false};
  } catch (...) {
    problem = std::current_exception();
  }
  joined.ticket->fail(problem);
  std::rethrow_exception(problem);
}

Awaitable<taxonomy::AnalysisResult> Analyzer::compute(std::shared_ptr<const Bytes> bytes,
                                                      const Caller& caller, CutTiming timing) {
  const auto started = std::chrono::steady_clock::now();
  const taxonomy::Taxonomy& words = cutter_.taxonomy_for({});
  taxonomy::AnalysisResult result;
  const LoadedPicture picture = co_await cutter_.decode(std::move(bytes), timing);
  const ImageView view = picture.picture->view();

  taxonomy::Plan plan;
  bool listed = false;
  if (vlm_ != nullptr) {
    taxonomy::VlmOutcome list;
    co_await run_blocking(cutter_.parts().fetch_pool,
                          [&] { list = vlm_->list(view, category_names(words), caller.gone); });
    result.timing.list = list.seconds;
    listed = list.ok;
    if (listed) {
      plan = taxonomy::plan_listed(words, list.items);
      result.source = "vlm";
    } else {
      result.fallback_reason = list.reason;
    }
  }
  if (!listed) plan = taxonomy::plan_analysis(words);

  CutImage image;
  image.id = "0";
  taxonomy::Selection selection;
  if (!plan.items.empty()) {
    const scheduler::Outcome outcome =
        co_await cutter_.find(picture, {}, plan.items, plan.scoring, caller, timing);
    selection = taxonomy::select(plan, outcome.result.detections);
    co_await run_blocking(cutter_.parts().work_pool,
                          [&] { taxonomy::describe(plan, view, selection); });
  }
  CutRequest cut;
  cut.crops = true;
  cut.legacy_names = true;
  for (const taxonomy::Found& found : selection.found) {
    CutItem item;
    item.detection.item = found.prompt;
    item.detection.box = found.box;
    item.detection.score = found.score;
    item.prompt = found.prompt;
    image.items.push_back(std::move(item));
  }
  image.timing = timing;
  co_await cutter_.make_crops(picture, cut, caller, image);

  result.items = taxonomy::analysis_items(selection);
  for (std::size_t i = 0; i < result.items.size(); ++i) {
    const CropFile& crop = *image.items[i].crop;
    result.items[i].url = !crop.url.empty()
                              ? crop.url
                              : "data:" + crop.content_type + ";base64," + crop::base64(*crop.bytes);
  }
  result.not_found = selection.not_found;
  const CutTiming& spent = image.timing;
  result.timing.download = spent.fetch / 1000;
  result.timing.detect = (spent.queue + spent.preprocess + spent.model + spent.postprocess) / 1000;
  result.timing.processing = (spent.decode + spent.encode) / 1000;
  result.timing.upload = spent.store / 1000;
  result.timing.total =
      result.timing.download +
      std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  co_return result;
}

}  // namespace itemcrop::service
