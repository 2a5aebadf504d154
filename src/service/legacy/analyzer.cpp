#include "service/legacy/analyzer.h"

#include <utility>
#include <vector>

#include "core/stopwatch.h"
#include "service/legacy/crop_name.h"
#include "service/legacy/json.h"
#include "service/request_runner.h"

namespace itemcrop::service::legacy {
namespace {

AnalysisCacheOptions cache_options(const Settings& settings) {
  AnalysisCacheOptions options;
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

std::vector<std::string> category_names(const taxonomy::Taxonomy& taxonomy) {
  std::vector<std::string> names;
  for (const taxonomy::Category& category : taxonomy.categories) {
    if (category.analyze) names.push_back(category.name);
  }
  return names;
}

}  // namespace

Analyzer::Analyzer(Parts parts)
    : parts_(std::move(parts)),
      vlm_(make_vlm(parts_.settings, std::move(parts_.transport))),
      cache_(cache_options(parts_.settings)) {}

const taxonomy::Taxonomy& Analyzer::taxonomy() const {
  return parts_.taxonomies->for_model(parts_.registry->default_name());
}

Awaitable<Analyzer::Answer> Analyzer::analyze(const ImageSource& source, const Caller& caller) {
  crop::Timing timing;
  auto bytes = co_await parts_.pipeline.fetch(source, caller, timing);
  const auto served = parts_.registry->get();
  // The URLs of crops are part of what is kept, so the way they are reached is part of the key. So
  // is whose key it was: nobody learns which photos others have sent.
  const std::string conditions = served->name + '\n' + std::to_string(served->generation) + '\n' +
                                 taxonomy().name + '\n' + parts_.settings.vlm_url + '\n' +
                                 parts_.settings.vlm_model + '\n' + caller.base_url +
                                 (parts_.settings.api_keys.empty() ? "" : '\n' + caller.name);
  std::string key;
  co_await run_blocking(parts_.pools.work, caller.name,
                        [&] { key = analysis_key(*bytes, conditions); });
  AnalysisCache::Outcome joined;
  co_await await_callback([&](std::function<void()> done) {
    cache_.join(key, [&joined, done = std::move(done)](AnalysisCache::Outcome outcome) {
      joined = std::move(outcome);
      done();
    });
  });
  if (joined.problem) std::rethrow_exception(joined.problem);
  if (joined.value) co_return answer(std::move(joined.value), joined.cached, caller);

  std::exception_ptr problem;
  try {
    auto value =
        std::make_shared<const Analysis>(co_await compute(std::move(bytes), caller, timing));
    joined.ticket->complete(value);
    co_return answer(std::move(value), false, caller);
  } catch (...) {
    problem = std::current_exception();
  }
  joined.ticket->fail(problem);
  std::rethrow_exception(problem);
}

Analyzer::Answer Analyzer::answer(std::shared_ptr<const Analysis> analysis, bool cached,
                                  const Caller& caller) const {
  // With the document that it becomes, and its text.
  const auto bytes = static_cast<std::int64_t>(3 * analysis->bytes());
  return {std::move(analysis), cached, parts_.budgets.response_bytes.take(bytes, caller.name)};
}

Awaitable<taxonomy::Plan> Analyzer::plan(const LoadedImage& image, const Caller& caller,
                                         Analysis& analysis) {
  if (vlm_ != nullptr) {
    taxonomy::VlmOutcome list;
    co_await run_blocking(parts_.pools.downloads, [&] {
      list = vlm_->list(image.pixels->view(), category_names(taxonomy()), caller.stop);
    });
    analysis.list_seconds = list.seconds;
    if (list.ok) {
      analysis.source = "vlm";
      co_return taxonomy::plan_listed(taxonomy(), list.items);
    }
    analysis.fallback_reason = list.reason;
  }
  co_return taxonomy::plan_analysis(taxonomy());
}

Awaitable<Analysis> Analyzer::compute(std::shared_ptr<const crop::Bytes> bytes,
                                      const Caller& caller, crop::Timing timing) {
  const Stopwatch watch;
  Analysis analysis;
  crop::ImageResult& result = analysis.image;
  result.id = "0";
  result.timing = timing;
  const LoadedImage image =
      co_await parts_.pipeline.decode(std::move(bytes), caller, result.timing);
  ImageTask task;
  task.search = crop::search_of(co_await plan(image, caller, analysis));
  task.crops = true;
  task.crop_name = &legacy::crop_name;
  crop::CropQuota quota(crop_limits(parts_.settings),
                        parts_.budgets.response_bytes.take(1, caller.name));
  if (!task.search.items.empty()) {
    co_await parts_.pipeline.find(image, task, quota, caller, result);
  }
  for (crop::FoundItem& item : result.items) {
    item.crop->url = url_of(*item.crop);
    item.crop->bytes.reset();
  }
  analysis.total_seconds = timing.fetch / 1000 + watch.seconds();
  co_return analysis;
}

}  // namespace itemcrop::service::legacy
