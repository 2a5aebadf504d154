#include "engine/engine.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <functional>
#include <new>
#include <optional>
#include <string>
#include <utility>

#include "core/thread_pool.h"
#include "items/score_defaults.h"
#include "items/scoring.h"
#include "model_files/model_locator.h"
#include "ops/profiler.h"
#include "ops/resize.h"

namespace itemcrop::engine {
namespace {

/// Vision tokens that share one run on the CPU. An image at 800 x 1333 has 22,223, which already
/// fills every core; larger runs would only take more memory.
constexpr std::int64_t kCpuRunTokens = 32'768;

/// The same on a GPU: eight images at 800 x 1333 fill the largest, and their activations stay
/// below 3 GiB.
constexpr std::int64_t kGpuRunTokens = 196'608;

/// Features of a 256-token prompt take 256 KB at the usual width.
constexpr std::size_t kTextCacheBytes = std::size_t{16} << 20;

constexpr int kMaxThreads = 1024;
constexpr int kMinEdge = 16;
constexpr int kMaxEdge = 8192;

using Clock = std::chrono::steady_clock;

double milliseconds(Clock::time_point begin, Clock::time_point end) {
  return std::chrono::duration<double, std::milli>(end - begin).count();
}

[[noreturn]] void refuse(const std::string& message) {
  throw Error(ErrorCode::kInvalidArgument, message);
}

void check_range(const char* field, int value, int low, int high) {
  if (value < low || value > high) {
    refuse(std::string(field) + " must be " + std::to_string(low) + " to " + std::to_string(high) +
           ", got " + std::to_string(value));
  }
}

void check_options(const DetectOptions& options) {
  check_range("threads", options.threads, 0, kMaxThreads);
  check_range("device_index", options.device_index, 0, 1 << 16);
  if (options.shortest_edge != 0) {
    check_range("shortest_edge", options.shortest_edge, kMinEdge, kMaxEdge);
  }
  if (options.longest_edge != 0) {
    check_range("longest_edge", options.longest_edge, kMinEdge, kMaxEdge);
  }
  check_range("max_items", options.max_items, 1, 1 << 20);
  check_range("max_passes", options.max_passes, 0, 1 << 20);
}

void check_image(const ImageView& image) {
  if (image.pixels == nullptr) refuse("image.pixels is null");
  check_range("image.width", image.width, 1, 1 << 20);
  check_range("image.height", image.height, 1, 1 << 20);
  if (image.stride() < std::ptrdiff_t{3} * image.width) {
    refuse("image.row_stride must be at least 3 * width = " + std::to_string(3 * image.width) +
           " bytes, got " + std::to_string(image.row_stride));
  }
}

int thread_count(const DetectOptions& options) {
  return options.threads != 0 ? options.threads : hardware_threads();
}

std::vector<float> sigmoid(const std::vector<float>& logits) {
  std::vector<float> result(logits.size());
  std::ranges::transform(logits, result.begin(),
                         [](float x) { return 1.0F / (1.0F + std::exp(-x)); });
  return result;
}

/// Allocation failures anywhere in a call become the library's own error.
template <class Body>
auto with_memory_errors(const Body& body) {
  try {
    return body();
  } catch (const std::bad_alloc&) {
    throw Error(ErrorCode::kOutOfMemory, "out of host memory");
  }
}

std::vector<std::pair<std::string, std::string>> describe(const io::ModelConfig& config) {
  const auto join = [](const std::vector<int>& values) {
    std::string text;
    for (const int value : values) text += (text.empty() ? "" : ", ") + std::to_string(value);
    return text;
  };
  return {
      {"image backbone", "Swin, width " + std::to_string(config.swin.embed_dim) + ", depths " +
                             join(config.swin.depths) + ", heads " + join(config.swin.heads) +
                             ", window " + std::to_string(config.swin.window)},
      {"text backbone", "BERT, width " + std::to_string(config.text.hidden) + ", " +
                            std::to_string(config.text.layers) + " layers, vocabulary " +
                            std::to_string(config.text.vocab_size)},
      {"transformer", "width " + std::to_string(config.d_model) + ", " +
                          std::to_string(config.encoder_layers) + " encoder and " +
                          std::to_string(config.decoder_layers) + " decoder layers, " +
                          std::to_string(config.levels) + " levels"},
      {"text rules",
       config.text_rules == io::TextRules::kPublished ? "published" : "transformers 5"},
  };
}

/// All that the memory of a group's run depends on.
std::string shapes_of(const RequestGroup& group, const model::ModelSwitches& switches) {
  std::string shapes = switches.folded_fusion ? "folded" : "plain";
  shapes += switches.selected_boxes_only ? " selected" : " all";
  const auto add = [&](std::int64_t value) { shapes += ' ' + std::to_string(value); };
  for (const model::ImageInput& input : group.images) {
    for (const int edge : {input.width, input.height, input.image.width, input.image.height}) {
      add(edge);
    }
  }
  for (const RequestGroup::SampleRun& run : group.runs) {
    shapes += " run";
    for (std::size_t s = 0; s < run.images.size(); ++s) {
      add(run.images[s]);
      add(static_cast<std::int64_t>(run.passes[s]->prompt.ids.size()));
    }
  }
  return shapes;
}

void throw_unless(const std::function<bool()>& keep_going) {
  if (keep_going && !keep_going()) throw Error(ErrorCode::kCancelled, "the call was cancelled");
}

/// While it lives, a call on a CPU can be cancelled between two ops, of which a pass has hundreds.
/// A GPU's ops are not done when they return, and a whole pass takes it milliseconds.
class CancellationPoints final : public ops::Profiler {
 public:
  CancellationPoints(ops::Executor& executor, Device device,
                     const std::function<bool()>& keep_going)
      : executor_(executor), keep_going_(keep_going), used_(keep_going && device == Device::kCpu) {
    if (used_) executor_.set_profiler(this);
  }
  ~CancellationPoints() override {
    if (used_) executor_.set_profiler(nullptr);
  }
  CancellationPoints(const CancellationPoints&) = delete;
  CancellationPoints& operator=(const CancellationPoints&) = delete;

  void begin(const char*, const ops::LinearWeights*) override { throw_unless(keep_going_); }
  void end() override {}

 private:
  ops::Executor& executor_;
  const std::function<bool()>& keep_going_;
  const bool used_;
};

}  // namespace

/// Vision tokens, prompts and, once run, raw outputs of every request of one call.
struct Engine::Call {
  BackendSpec spec;
  int threads = 1;
  model::ModelSwitches switches;
  std::function<bool()> keep_going;
  const Prepared* on = nullptr;
  std::vector<RequestInput> requests;
  std::vector<RequestGroup> groups;

  std::vector<std::vector<model::SampleOutput>> outputs;  ///< [request][pass]
  std::vector<DetectTiming> timing;                       ///< [request]
  std::size_t peak_bytes = 0;

  /// Throws Error(kCancelled) if the caller has cancelled the call.
  void check_wanted() const { throw_unless(keep_going); }
  /// Runs the model over one group. On a planner nothing is computed and nothing recorded.
  void run_group(ops::Executor& executor, const RequestGroup& group, const model::StageTap& tap,
                 bool record);
  /// Bytes of activations that the largest group needs.
  std::size_t arena_bytes(const model::StageTap& tap);
};

Engine::Prepared::Prepared(const io::Weights& weights, std::shared_ptr<const ops::Backend> on,
                           int threads)
    : backend(std::move(on)),
      model(weights, *backend, threads),
      text_cache(kTextCacheBytes),
      executors(backend) {}

Engine::Engine(std::string name, std::shared_ptr<const io::Weights> weights,
               text::Tokenizer tokenizer)
    : weights_(std::move(weights)), tokenizer_(std::move(tokenizer)) {
  const io::ModelConfig& config = weights_->config();
  if (tokenizer_.vocabulary_size() > config.text.vocab_size) {
    throw Error(ErrorCode::kCorruptModel, "the vocabulary has " +
                                              std::to_string(tokenizer_.vocabulary_size()) +
                                              " tokens, more than text_config.vocab_size " +
                                              std::to_string(config.text.vocab_size));
  }
  info_.name = std::move(name);
  info_.model_type = to_string(config.kind);
  info_.stored_dtype = weights_->stored_dtype();
  info_.parameters = weights_->parameters();
  info_.tensors = weights_->tensors();
  info_.queries = config.queries;
  info_.max_text_tokens = config.max_text_tokens;
  info_.shortest_edge = config.preprocess.shortest_edge;
  info_.longest_edge = config.preprocess.longest_edge;
  const items::ScoreDefaults scores = items::score_defaults(info_.model_type);
  info_.threshold = scores.threshold;
  info_.text_threshold = scores.text_threshold;
  info_.details = describe(config);
}

const Engine::Prepared& Engine::prepared(const BackendSpec& spec, int threads) const {
  Slot* slot = nullptr;
  {
    const std::lock_guard lock(slots_mutex_);
    auto& entry = slots_[spec];
    if (entry == nullptr) entry = std::make_unique<Slot>();
    slot = entry.get();
  }
  // Outside the lock: calls on other backends need not wait for this one's weights.
  std::call_once(slot->once, [&] {
    slot->prepared = std::make_unique<const Prepared>(*weights_, make_backend(spec), threads);
  });
  return *slot->prepared;
}

std::vector<text::PromptPass> Engine::build_passes(std::span<const Item> items,
                                                   const DetectOptions& options) const {
  items::check_items(items);
  const text::PromptLimits limits{.max_tokens = info_.max_text_tokens,
                                  .max_positions = weights_->config().text.max_positions,
                                  .max_items = options.max_items,
                                  .max_passes = options.max_passes};
  return text::build_passes(tokenizer_, items, limits, weights_->config().text_rules);
}

int Engine::count_passes(std::span<const Item> items, const DetectOptions& options) const {
  return with_memory_errors([&] {
    check_options(options);
    return static_cast<int>(build_passes(items, options).size());
  });
}

Engine::Call Engine::resolve(std::span<const DetectRequest> requests,
                             const DetectOptions& options) const {
  check_options(options);
  const io::PreprocessConfig& preprocess = weights_->config().preprocess;
  const int shortest =
      options.shortest_edge != 0 ? options.shortest_edge : preprocess.shortest_edge;
  const int longest = options.longest_edge != 0 ? options.longest_edge : preprocess.longest_edge;

  Call call;
  for (const DetectRequest& request : requests) {
    check_image(request.image);
    items::check_scoring(request.scoring);
    RequestInput input;
    ops::ImageSize size{request.image.width, request.image.height};
    if (preprocess.resize) size = ops::resized_size(size, shortest, longest);
    if (size.width < 1 || size.height < 1 || size.width > kMaxEdge || size.height > kMaxEdge) {
      refuse("image of " + std::to_string(request.image.width) + " x " +
             std::to_string(request.image.height) + " pixels resizes to " +
             std::to_string(size.width) + " x " + std::to_string(size.height) + ", outside 1 to " +
             std::to_string(kMaxEdge));
    }
    input.image = {request.image, size.height, size.width};
    for (text::PromptPass& pass : build_passes(request.items, options)) {
      input.passes.push_back({std::move(pass), nullptr});
    }
    call.requests.push_back(std::move(input));
  }

  call.spec = resolve_backend(options);
  call.threads = thread_count(options);
  call.keep_going = options.keep_going;
  call.on = &prepared(call.spec, call.threads);
  for (RequestInput& request : call.requests) {
    request.cells = call.on->model.pyramids(std::span(&request.image, 1)).front().rows();
  }
  call.groups = group_requests(call.requests,
                               call.spec.device == Device::kCuda ? kGpuRunTokens : kCpuRunTokens);
  call.outputs.resize(call.requests.size());
  call.timing.resize(call.requests.size());
  return call;
}

void Engine::encode_text(Call& call, const model::StageTap& tap) const {
  std::vector<PassInput*> unknown;
  for (RequestInput& request : call.requests) {
    for (PassInput& pass : request.passes) {
      // A tap wants to see the text stages, cached or not.
      if (!tap) pass.features = call.on->text_cache.find(pass.prompt.ids);
      if (pass.features == nullptr) unknown.push_back(&pass);
    }
  }
  for (std::size_t i = 0; i < unknown.size(); ++i) {
    call.check_wanted();
    PassInput& pass = *unknown[i];
    const PassInput* const one = &pass;
    const model::TextInput text = join_passes(std::span(&one, 1));
    auto features = std::make_shared<std::vector<float>>(
        static_cast<std::size_t>(text.tokens() * call.on->model.width()));
    const auto planner = call.on->backend->make_planner();
    call.on->model.encode_text(*planner, text, features->data(), {});
    ExecutorPool::Lease lease(call.on->executors, call.threads, planner->peak_bytes());
    const CancellationPoints points(*lease, call.spec.device, call.keep_going);
    call.on->model.encode_text(*lease, text, features->data(),
                               tap ? tap.offset(static_cast<int>(i)) : model::StageTap());
    pass.features = std::move(features);
    call.on->text_cache.insert(pass.prompt.ids, pass.features);
  }
}

void Engine::Call::run_group(ops::Executor& executor, const RequestGroup& group,
                             const model::StageTap& tap, bool record) {
  const ops::ArenaScope scope(executor);
  const model::GroundingDino& model = on->model;
  const std::vector<ops::Pyramid> pyramids = model.pyramids(group.images);
  const std::int64_t cells = pyramids.back().begin() + pyramids.back().rows();
  ops::Matrix vision = executor.allocate(cells, model.width());
  if (record) check_wanted();
  const Clock::time_point start = Clock::now();
  Clock::time_point cut;
  {
    const ops::ArenaScope backbone_scope(executor);
    const model::Swin::Patches patches = model.cut_patches(executor, group.images, tap);
    cut = Clock::now();
    model.encode_images(executor, patches, pyramids, vision, tap);
  }
  for (const RequestGroup::SampleRun& run : group.runs) {
    if (record) check_wanted();
    const model::TextInput text = join_passes(run.passes);
    std::vector<float> features;
    for (const PassInput* pass : run.passes) {
      if (pass->features == nullptr) continue;
      features.insert(features.end(), pass->features->begin(), pass->features->end());
    }
    const auto use = &run == &group.runs.back() ? model::VisionUse::kLast : model::VisionUse::kKeep;
    std::vector<model::SampleOutput> samples = model.detect(
        executor, vision, pyramids, use, run.images, text, features.data(), switches, tap);
    if (!record) continue;
    for (std::size_t s = 0; s < samples.size(); ++s) {
      const std::size_t request = group.first_request + static_cast<std::size_t>(run.images[s]);
      outputs[request].push_back(std::move(samples[s]));
    }
  }
  if (!record) return;
  const Clock::time_point end = Clock::now();
  for (std::size_t i = 0; i < group.images.size(); ++i) {
    const double share = static_cast<double>(pyramids[i].rows()) / static_cast<double>(cells);
    timing[group.first_request + i].preprocess += milliseconds(start, cut) * share;
    timing[group.first_request + i].model += milliseconds(cut, end) * share;
  }
}

std::size_t Engine::Call::arena_bytes(const model::StageTap& tap) {
  // Taps allocate too, so the dry run of a tapped call has one that drops what it gets.
  const model::StageTap silent = tap ? model::StageTap([](auto&&...) {}) : model::StageTap();
  std::size_t bytes = 0;
  for (const RequestGroup& group : groups) {
    const std::string shapes = shapes_of(group, switches);
    std::optional<std::size_t> known;
    if (!tap) known = on->arena_sizes.find(shapes);
    if (!known) {
      const auto planner = on->backend->make_planner();
      run_group(*planner, group, silent, false);
      known = planner->peak_bytes();
      if (!tap) on->arena_sizes.insert(shapes, *known);
    }
    bytes = std::max(bytes, *known);
  }
  return bytes;
}

void Engine::run(Call& call, const model::StageTap& tap) const {
  const Clock::time_point start = Clock::now();
  encode_text(call, tap);
  const double text_share = milliseconds(start, Clock::now()) /
                            static_cast<double>(std::max<std::size_t>(1, call.requests.size()));
  for (DetectTiming& timing : call.timing) timing.model += text_share;
  if (call.groups.empty()) return;
  ExecutorPool::Lease lease(call.on->executors, call.threads, call.arena_bytes(tap));
  const CancellationPoints points(*lease, call.spec.device, call.keep_going);
  for (const RequestGroup& group : call.groups) call.run_group(*lease, group, tap, true);
  call.peak_bytes = (*lease).peak_bytes();
}

DetectResult Engine::finish(const DetectRequest& request, const Call& call,
                            std::size_t index) const {
  const Clock::time_point start = Clock::now();
  const RequestInput& input = call.requests[index];
  std::vector<std::vector<float>> probabilities;
  std::vector<items::PassOutput> passes;
  probabilities.reserve(input.passes.size());
  for (std::size_t p = 0; p < input.passes.size(); ++p) {
    const model::SampleOutput& output = call.outputs[index][p];
    probabilities.push_back(sigmoid(output.logits));
    passes.push_back({&input.passes[p].prompt, probabilities.back().data(), output.boxes.data(),
                      static_cast<int>(output.queries)});
  }
  ScoringOptions scoring = request.scoring;
  scoring.threshold = scoring.threshold.value_or(info_.threshold);
  scoring.text_threshold = scoring.text_threshold.value_or(info_.text_threshold);
  items::ScoredItems scored = items::score_items(
      passes, request.items, request.image.width, request.image.height, scoring,
      [this](std::int32_t id) { return std::string_view(tokenizer_.token(id)); });

  DetectResult result;
  result.detections = std::move(scored.detections);
  result.not_found = std::move(scored.not_found);
  result.passes = static_cast<int>(input.passes.size());
  result.timing = call.timing[index];
  result.timing.postprocess = milliseconds(start, Clock::now());
  return result;
}

DetectReport Engine::detect(std::span<const DetectRequest> requests,
                            const DetectOptions& options) const {
  return with_memory_errors([&] {
    Call call = resolve(requests, options);
    run(call, {});
    DetectReport report;
    report.device = call.spec.device;
    report.precision = call.spec.precision;
    report.device_name = call.on->backend->name();
    report.peak_workspace_bytes = call.peak_bytes;
    report.results.resize(requests.size());
    const auto finish_one = [&](std::int64_t request, int) {
      const auto i = static_cast<std::size_t>(request);
      report.results[i] = finish(requests[i], call, i);
    };
    // A tenth of a millisecond each: less than a GPU's share of a batch, more than a thread's
    // start.
    constexpr int kLeastEach = 4;
    const int workers = std::min(call.threads, static_cast<int>(requests.size()) / kLeastEach);
    ThreadPool(std::max(1, workers)).parallel_for(std::ssize(requests), finish_one);
    return report;
  });
}

std::vector<std::vector<RawPass>> Engine::detect_raw(std::span<const DetectRequest> requests,
                                                     const DetectOptions& options,
                                                     const model::StageTap& tap,
                                                     const model::ModelSwitches& switches) const {
  return with_memory_errors([&] {
    Call call = resolve(requests, options);
    call.switches = switches;
    run(call, tap);
    std::vector<std::vector<RawPass>> result(requests.size());
    for (std::size_t r = 0; r < requests.size(); ++r) {
      for (std::size_t p = 0; p < call.requests[r].passes.size(); ++p) {
        result[r].push_back(
            {std::move(call.requests[r].passes[p].prompt), std::move(call.outputs[r][p])});
      }
    }
    return result;
  });
}

void Engine::prepare(const DetectOptions& options) const {
  with_memory_errors([&] {
    check_options(options);
    prepared(resolve_backend(options), thread_count(options));
  });
}

MemoryEstimate Engine::estimate(std::span<const DetectRequest> requests,
                                const DetectOptions& options) const {
  return with_memory_errors([&] {
    Call call = resolve(requests, options);
    return MemoryEstimate{call.on->backend->weight_bytes(), call.arena_bytes({})};
  });
}

}  // namespace itemcrop::engine

namespace itemcrop {

std::shared_ptr<const Model> Model::load(const std::filesystem::path& folder_or_name) {
  const auto variable = [](const std::string& name) -> std::optional<std::string> {
    const char* value = std::getenv(name.c_str());
    if (value == nullptr) return std::nullopt;
    return value;
  };
  const model_files::LocatedModel located = model_files::locate_model(
      folder_or_name.string(),
      model_files::default_model_search(model_files::this_binary(), variable));
  auto weights = io::load_weights(located.folder);
  text::Tokenizer tokenizer = text::Tokenizer::load(located.folder);
  return std::make_shared<engine::Engine>(located.name, std::move(weights), std::move(tokenizer));
}

}  // namespace itemcrop
