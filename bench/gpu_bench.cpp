// Times the GPU engine with procedural weights and images; scripts/gpu.sh runs it.
//   gpu_bench model   CONFIG...  the model on pixels that lie on the device, by batch and prompt
//   gpu_bench compare CONFIG...  the same with each of its ways to save time left out, in turns
//   gpu_bench plan    CONFIG...  what calls need, without running them: memory, host time
//   gpu_bench ops     CONFIG...  device time of every op, by events
//   gpu_bench products CONFIG... every matrix product alone, and the best algorithm for it
//   gpu_bench ceilings           copy bandwidth and matrix rate of this device
//   gpu_bench detect  FOLDER...  whole calls through the module, from 8-bit pixels to items
//   gpu_bench cold    FOLDER     one call in a fresh process
// CONFIG is a folder with config.json and preprocessor_config.json (tests/golden/tiny), FOLDER a
// checkpoint (itemcrop-make-checkpoint). One JSON object on standard output.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "itemcrop/itemcrop.h"

#include "backend/cuda/backend.h"
#include "io/model_config.h"
#include "io/weights.h"
#include "model/grounding_dino.h"
#include "support/procedural_image.h"
#include "support/procedural_source.h"

namespace {

using namespace itemcrop;
using Clock = std::chrono::steady_clock;
using Json = nlohmann::ordered_json;

struct Arguments {
  std::string mode;
  std::string folder;
  std::string precision = "fp16";
  std::vector<int> batches{1, 8};
  std::vector<int> tokens{16};
  int runs = 20;
  bool mixed = false;  ///< sizes of phones' photos instead of 1333 x 800
  bool plain = false;
  cuda::Tuning tuning;
};

double milliseconds_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

/// Median and spread of repeated runs, after the first three: warm-up, recording, first replay.
Json times_of(int runs, const std::function<double()>& run) {
  std::vector<double> times;
  for (int i = 0; i < 3; ++i) run();
  for (int i = 0; i < runs; ++i) times.push_back(run());
  std::ranges::sort(times);
  return {{"median_ms", times[times.size() / 2]},
          {"least_ms", times.front()},
          {"p90_ms", times[times.size() * 9 / 10]}};
}

/// Width and height of the i-th image, as resized.
std::pair<int, int> size_of_image(int i, bool mixed) {
  constexpr std::pair<int, int> kSizes[] = {{1333, 800}, {800, 1333}, {1066, 800}, {800, 1066},
                                            {800, 800},  {1199, 800}, {800, 1200}, {1333, 750}};
  return mixed ? kSizes[i % 8] : kSizes[0];
}

model::TextInput text_of(int samples, int tokens) {
  // [CLS] word . word . ... [SEP], each word a block of its own.
  model::TextInput text;
  for (int s = 0; s < samples; ++s) {
    text.segments.push_back({text.tokens(), tokens});
    for (int t = 0; t < tokens; ++t) {
      const bool edge = t == 0 || t + 1 == tokens;
      text.ids.push_back(t == 0 ? 101 : t + 1 == tokens ? 102 : t % 2 == 0 ? 1012 : 2000 + t);
      text.positions.push_back(edge ? 0 : (t + 1) % 2);
      text.blocks.push_back(edge ? -t - 1 : (t + 1) / 2);
    }
  }
  return text;
}

/// A model with procedural weights on this device, and the calls that are timed.
class Bench {
 public:
  explicit Bench(const Arguments& arguments)
      : arguments_(arguments),
        backend_(0, parse_precision(arguments.precision), arguments.tuning),
        weights_(make_weights(arguments.folder)),
        start_(Clock::now()),
        model_(*weights_, backend_, 16),
        prepare_ms_(milliseconds_since(start_)) {}

  struct Work {
    std::vector<test::Image> sources;
    std::vector<model::ImageInput> images;
    std::vector<int> samples;
    std::vector<ops::Pyramid> pyramids;
    model::TextInput text;
    std::vector<float> features;
    std::size_t arena_bytes = 0;
    std::unique_ptr<cuda::CudaExecutor> executor;
  };

  Work plan(int batch, int tokens) {
    Work work;
    for (int i = 0; i < batch; ++i) {
      const auto [width, height] = size_of_image(i, arguments_.mixed);
      work.sources.push_back(
          test::procedural_image(static_cast<std::uint64_t>(i % 4), width, height));
      work.samples.push_back(i);
    }
    for (const test::Image& image : work.sources) {
      work.images.push_back({image.view(), image.height, image.width});
    }
    work.pyramids = model_.pyramids(work.images);
    work.text = text_of(batch, tokens);
    work.features.resize(static_cast<std::size_t>(work.text.tokens() * model_.width()));
    for (std::size_t i = 0; i < work.features.size(); ++i) {
      work.features[i] = static_cast<float>(static_cast<int>(i * 7919 % 2001) - 1000) / 500.0F;
    }
    const auto planner = backend_.make_planner();
    run(*planner, work);
    work.arena_bytes = planner->peak_bytes();
    return work;
  }

  Work prepare(int batch, int tokens) {
    Work work = plan(batch, tokens);
    work.executor = backend_.make_cuda_executor(work.arena_bytes);
    return work;
  }

  /// Milliseconds from patches on the device to boxes and logits on the host.
  double run(ops::Executor& executor, const Work& work) {
    const ops::ArenaScope scope(executor);
    const ops::Pyramid& last = work.pyramids.back();
    const ops::Matrix vision = executor.allocate(last.begin() + last.rows(), model_.width());
    Clock::time_point start;
    {
      const ops::ArenaScope backbone(executor);
      const auto patches = model_.cut_patches(executor, work.images, {});
      float first = 0;
      executor.download(patches.rows.row_range(0, 1).column_range(0, 1), &first);  // waits
      start = Clock::now();
      model_.encode_images(executor, patches, work.pyramids, vision, {});
    }
    model_.detect(executor, vision, work.pyramids, model::VisionUse::kLast, work.samples, work.text,
                  work.features.data(), {!arguments_.plain, !arguments_.plain}, {});
    return milliseconds_since(start);
  }

  cuda::Products& products() { return backend_.products(); }
  std::size_t weight_bytes() const { return backend_.weight_bytes(); }
  double prepare_ms() const { return prepare_ms_; }

  Json dry_run_ms(const Work& work) {
    return times_of(5, [&] {
      const Clock::time_point start = Clock::now();
      run(*backend_.make_planner(), work);
      return milliseconds_since(start);
    });
  }

 private:
  static std::shared_ptr<const io::Weights> make_weights(const std::string& folder) {
    io::ModelConfig config = io::load_model_config(folder);
    auto source = std::make_unique<test::ProceduralSource>(config);
    return std::make_shared<const io::Weights>(std::move(config), std::move(source));
  }

  const Arguments& arguments_;
  cuda::CudaBackend backend_;
  std::shared_ptr<const io::Weights> weights_;
  Clock::time_point start_;
  model::GroundingDino model_;
  double prepare_ms_;
};

Json bench_model(const Arguments& arguments) {
  Bench bench(arguments);
  Json result{{"weights_bytes", bench.weight_bytes()},
              {"upload_ms", bench.prepare_ms()},
              {"runs", Json::array()}};
  for (const int tokens : arguments.tokens) {
    for (const int batch : arguments.batches) {
      const Clock::time_point start = Clock::now();
      Bench::Work work = bench.prepare(batch, tokens);
      const double planned = milliseconds_since(start);
      const double first = bench.run(*work.executor, work);
      const double second = bench.run(*work.executor, work);
      Json times = times_of(arguments.runs, [&] { return bench.run(*work.executor, work); });
      result["runs"].push_back({{"batch", batch},
                                {"tokens", tokens},
                                {"mixed", arguments.mixed},
                                {"ms_per_image", times["median_ms"].get<double>() / batch},
                                {"times", times},
                                {"prepare_ms", planned},
                                {"first_ms", first},
                                {"second_ms", second},
                                {"dry_run", bench.dry_run_ms(work)},
                                {"graphs", work.executor->graphs().graphs()},
                                {"arena_bytes", work.arena_bytes}});
    }
  }
  return result;
}

/// All ways to save time, each left out, and none of them; three rounds, so that a drift shows.
Json bench_compare(const Arguments& arguments) {
  constexpr int kRounds = 3;
  using Change = void (*)(cuda::Tuning&);
  const std::pair<const char*, Change> kVariants[] = {
      {"all", [](cuda::Tuning&) {}},
      {"no early launches", [](cuda::Tuning& t) { t.early_launches = false; }},
      {"no row products", [](cuda::Tuning& t) { t.row_products = false; }},
      {"no feed-forward at once", [](cuda::Tuning& t) { t.feed_forwards = false; }},
      {"no shares of hidden values", [](cuda::Tuning& t) { t.feed_forward_split = false; }},
      {"no fusion by wgmma", [](cuda::Tuning& t) { t.fusions = false; }},
      {"heads in TF32", [](cuda::Tuning& t) { t.half_heads = false; }},
      {"none",
       [](cuda::Tuning& t) {
         t.early_launches = t.row_products = t.feed_forwards = t.half_heads = false;
       }},
  };
  Json result = Json::array();
  std::vector<Arguments> each;
  std::vector<std::unique_ptr<Bench>> benches;
  each.reserve(std::size(kVariants));  // benches refer to them
  for (const auto& [name, change] : kVariants) {
    each.push_back(arguments);
    change(each.back().tuning);
    benches.push_back(std::make_unique<Bench>(each.back()));
  }
  for (const int tokens : arguments.tokens) {
    for (const int batch : arguments.batches) {
      std::vector<Json> rows;
      for (const auto& [name, change] : kVariants) {
        rows.push_back({{"variant", name},
                        {"batch", batch},
                        {"tokens", tokens},
                        {"ms_per_image", Json::array()}});
      }
      for (int round = 0; round < kRounds; ++round) {
        for (std::size_t v = 0; v < benches.size(); ++v) {
          Bench::Work work = benches[v]->prepare(batch, tokens);
          const Json times =
              times_of(arguments.runs, [&] { return benches[v]->run(*work.executor, work); });
          rows[v]["ms_per_image"].push_back(times["median_ms"].get<double>() / batch);
        }
      }
      for (Json& row : rows) {
        std::fprintf(stderr, "%2d x %3d  %-26s", batch, tokens,
                     row["variant"].get<std::string>().c_str());
        for (const Json& time : row["ms_per_image"]) {
          std::fprintf(stderr, " %7.3f", time.get<double>());
        }
        std::fprintf(stderr, "\n");
        result.push_back(std::move(row));
      }
    }
  }
  return result;
}

Json bench_plan(const Arguments& arguments) {
  Bench bench(arguments);
  Json result{{"weights_bytes", bench.weight_bytes()}, {"runs", Json::array()}};
  for (const int tokens : arguments.tokens) {
    for (const int batch : arguments.batches) {
      const Bench::Work work = bench.plan(batch, tokens);
      result["runs"].push_back({{"batch", batch},
                                {"tokens", tokens},
                                {"dry_run", bench.dry_run_ms(work)},
                                {"arena_bytes", work.arena_bytes}});
    }
  }
  return result;
}

Json bench_ops(Arguments arguments) {
  arguments.tuning.profile = true;
  Bench bench(arguments);
  Json result = Json::array();
  for (const int batch : arguments.batches) {
    Bench::Work work = bench.prepare(batch, arguments.tokens.front());
    for (int i = 0; i < 3; ++i) bench.run(*work.executor, work);
    work.executor->profile().clear();
    for (int i = 0; i < arguments.runs; ++i) bench.run(*work.executor, work);
    Json ops;
    double total = 0;
    for (const auto& [name, time] : work.executor->profile()) {
      const double milliseconds = time.milliseconds / arguments.runs;
      if (name != "download") total += milliseconds;
      ops[name] = {{"ms", milliseconds}, {"calls", time.calls / arguments.runs}};
    }
    result.push_back({{"batch", batch}, {"total_ms", total}, {"ops", ops}});
  }
  return result;
}

Json bench_products(const Arguments& arguments) {
  Bench bench(arguments);
  Bench::Work work = bench.prepare(arguments.batches.front(), arguments.tokens.front());
  bench.run(*work.executor, work);
  std::vector<Json> result;
  for (const cuda::ProductTime& time : bench.products().measure()) {
    const cuda::Product& p = time.product;
    const double flops = 2.0 * static_cast<double>(p.rows) * static_cast<double>(p.outputs) *
                         static_cast<double>(p.inputs);
    result.push_back({{"rows", p.rows},
                      {"outputs", p.outputs},
                      {"inputs", p.inputs},
                      {"operand", to_string(p.operand)},
                      {"result", to_string(p.result)},
                      {"residual", p.residual != nullptr},
                      {"activation", static_cast<int>(p.activation)},
                      {"uses", time.uses},
                      {"ms", time.milliseconds},
                      {"best_ms", time.best_milliseconds},
                      {"tflops", flops / time.milliseconds / 1e9}});
  }
  std::ranges::sort(result, std::greater{}, [](const Json& row) {
    return row.at("ms").get<double>() * row.at("uses").get<double>();
  });
  return result;
}

Json bench_ceilings(const Arguments& arguments) {
  using namespace itemcrop::cuda;
  constexpr std::size_t kBytes = std::size_t{2} << 30;
  constexpr std::int64_t kEdge = 8192;
  constexpr int kRuns = 10;
  const CudaBackend backend(0, parse_precision(arguments.precision), arguments.tuning);
  const OwnedStream stream;
  Event start;
  Event end;
  const auto timed = [&](const std::function<void()>& body) {
    body();
    start.record(stream.get());
    for (int i = 0; i < kRuns; ++i) body();
    end.record(stream.get());
    end.wait();
    return static_cast<double>(end.milliseconds_since(start)) / kRuns;
  };
  double copy_ms = 0;
  {
    const Memory from(MemoryKind::kDevice, kBytes);
    const Memory to(MemoryKind::kDevice, kBytes);
    copy_ms = timed([&] { copy(stream.get(), to.data(), from.data(), kBytes); });
  }
  // Random values: zeros run faster than data does.
  std::vector<float> values(static_cast<std::size_t>(kEdge * kEdge));
  for (float& value : values) value = static_cast<float>(std::rand() % 2001 - 1000) / 1000.0F;
  const auto weight =
      backend.make_linear({values.data(), nullptr, kEdge, kEdge}, ops::WeightPrecision::kBackend);
  const auto executor = backend.make_cuda_executor(std::size_t{1} << 30);
  const ops::Matrix x = executor->allocate(kEdge, kEdge);
  const ops::Matrix y = executor->allocate(kEdge, kEdge);
  executor->upload(values.data(), x);
  float one = 0;
  executor->run(ops::Linear{x, *weight, y});
  executor->download(y.row_range(0, 1).column_range(0, 1), &one);
  const DeviceLinear& linear = on_device(*weight);
  const Memory workspace(MemoryKind::kDevice, Products::kWorkspaceBytes);
  const double product_ms = timed([&] {
    backend.products().run(stream.get(), workspace.data(),
                           {.x = x.data,
                            .weight = linear.weight(),
                            .y = y.data,
                            .rows = kEdge,
                            .outputs = kEdge,
                            .inputs = kEdge,
                            .x_stride = kEdge,
                            .weight_stride = linear.stride(),
                            .y_stride = kEdge,
                            .operand = x.dtype,
                            .result = y.dtype});
  });
  return {{"copy_tb_per_s", 2.0 * kBytes / copy_ms / 1e9},
          {"product_tflops", 2.0 * kEdge * kEdge * kEdge / product_ms / 1e9}};
}

DetectOptions gpu(const Arguments& arguments) {
  DetectOptions options;
  options.device = Device::kCuda;
  options.precision = parse_precision(arguments.precision);
  return options;
}

/// Requests on images that live in `images`.
std::vector<DetectRequest> requests_of(int batch, bool mixed, std::vector<test::Image>& images) {
  std::vector<DetectRequest> requests;
  for (int i = 0; i < batch; ++i) {
    const auto [width, height] = size_of_image(i, mixed);
    images.push_back(test::procedural_image(static_cast<std::uint64_t>(i % 4), width, height));
  }
  for (const test::Image& image : images) {
    DetectRequest request;
    request.image = image.view();
    for (const char* item : {"a", "b", "c", "d", "e", "f", "g"}) {
      request.items.push_back({.prompt = item});
    }
    requests.push_back(std::move(request));
  }
  return requests;
}

Json bench_detect(const Arguments& arguments) {
  const auto model = Model::load(arguments.folder);
  Json result = Json::array();
  for (const int batch : arguments.batches) {
    std::vector<test::Image> images;
    const auto requests = requests_of(batch, arguments.mixed, images);
    DetectReport report;
    const Json times = times_of(arguments.runs, [&] {
      const Clock::time_point start = Clock::now();
      report = model->detect(requests, gpu(arguments));
      return milliseconds_since(start);
    });
    DetectTiming last;
    for (const DetectResult& one : report.results) {
      last.preprocess += one.timing.preprocess;
      last.model += one.timing.model;
      last.postprocess += one.timing.postprocess;
    }
    result.push_back({{"batch", batch},
                      {"mixed", arguments.mixed},
                      {"ms_per_image", times["median_ms"].get<double>() / batch},
                      {"times", times},
                      {"last_preprocess_ms", last.preprocess},
                      {"last_model_ms", last.model},
                      {"last_postprocess_ms", last.postprocess},
                      {"workspace_bytes", report.peak_workspace_bytes}});
  }
  return result;
}

Json bench_cold(const Arguments& arguments, Clock::time_point process_start) {
  // A drawn image would take longer to draw than the model to load.
  const auto grey = [](int width, int height) {
    return test::Image{width, height,
                       std::vector<std::uint8_t>(std::size_t{3} * width * height, 99)};
  };
  const test::Image first_image = grey(1333, 800);
  const test::Image other = grey(1066, 800);
  DetectRequest request;
  request.image = first_image.view();
  request.items.push_back({.prompt = "a"});
  const Clock::time_point start = Clock::now();
  const auto model = Model::load(arguments.folder);
  const double loaded = milliseconds_since(start);
  model->prepare(gpu(arguments));
  const double prepared = milliseconds_since(start);
  model->detect(std::span(&request, 1), gpu(arguments));
  const double first = milliseconds_since(start);
  const double since_main = milliseconds_since(process_start);
  request.image = other.view();
  const Clock::time_point other_size = Clock::now();
  model->detect(std::span(&request, 1), gpu(arguments));
  return {{"load_ms", loaded},
          {"prepared_ms", prepared},
          {"first_result_ms", first},
          {"first_result_since_main_ms", since_main},
          {"new_size_ms", milliseconds_since(other_size)}};
}

std::vector<int> numbers(const std::string& text) {
  std::vector<int> result;
  for (std::size_t at = 0; at < text.size();) {
    std::size_t used = 0;
    result.push_back(std::stoi(text.substr(at), &used));
    at += used + 1;
  }
  return result;
}

Arguments parse(int argc, char** argv) {
  Arguments arguments;
  const auto refuse = [](const std::string& why) { throw std::runtime_error(why); };
  if (argc < 2)
    refuse("usage: gpu_bench model|compare|plan|ops|products|ceilings|detect|cold [FOLDER] [...]");
  arguments.mode = argv[1];
  int i = 2;
  if (i < argc && argv[i][0] != '-') arguments.folder = argv[i++];
  for (; i < argc; ++i) {
    const std::string flag = argv[i];
    const auto value = [&]() -> std::string {
      if (i + 1 >= argc) refuse(flag + " needs a value");
      return argv[++i];
    };
    if (flag == "--precision") {
      arguments.precision = value();
    } else if (flag == "--batches") {
      arguments.batches = numbers(value());
    } else if (flag == "--tokens") {
      arguments.tokens = numbers(value());
    } else if (flag == "--runs") {
      arguments.runs = std::stoi(value());
    } else if (flag == "--mixed") {
      arguments.mixed = true;
    } else if (flag == "--plain") {
      arguments.plain = true;
    } else if (flag == "--timed") {
      arguments.tuning.products.timed = true;
    } else if (flag == "--deterministic") {
      arguments.tuning.products.deterministic = true;
    } else if (flag == "--exact-gelu") {
      arguments.tuning.products.tanh_gelu = false;
    } else if (flag == "--no-early") {
      arguments.tuning.early_launches = false;
    } else if (flag == "--no-row-products") {
      arguments.tuning.row_products = false;
    } else if (flag == "--no-feed-forward") {
      arguments.tuning.feed_forwards = false;
    } else if (flag == "--tf32-heads") {
      arguments.tuning.half_heads = false;
    } else if (flag == "--one-branch") {
      arguments.tuning.branches = false;
    } else if (flag == "--no-graphs") {
      arguments.tuning.graphs = 0;
    } else if (flag == "--piece-mib") {
      arguments.tuning.piece_bytes = static_cast<std::size_t>(std::stoi(value())) << 20;
    } else {
      refuse("unknown argument " + flag);
    }
  }
  return arguments;
}

}  // namespace

int main(int argc, char** argv) {
  const Clock::time_point start = Clock::now();
  try {
    const Arguments arguments = parse(argc, argv);
    Json result{{"mode", arguments.mode},
                {"precision", arguments.precision},
                {"device", cuda::devices().front().name}};
    if (arguments.mode == "model") {
      result["result"] = bench_model(arguments);
    } else if (arguments.mode == "compare") {
      result["result"] = bench_compare(arguments);
    } else if (arguments.mode == "plan") {
      result["result"] = bench_plan(arguments);
    } else if (arguments.mode == "ops") {
      result["result"] = bench_ops(arguments);
    } else if (arguments.mode == "products") {
      result["result"] = bench_products(arguments);
    } else if (arguments.mode == "ceilings") {
      result["result"] = bench_ceilings(arguments);
    } else if (arguments.mode == "detect") {
      result["result"] = bench_detect(arguments);
    } else if (arguments.mode == "cold") {
      result["result"] = bench_cold(arguments, start);
    } else {
      throw std::runtime_error("unknown mode " + arguments.mode);
    }
    std::printf("%s\n", result.dump(2).c_str());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "gpu_bench: %s\n", error.what());
    return 1;
  }
  return 0;
}
