// Times one detection on the CPU, or explains what the time is made of. bench/run.py pairs it with
// transformers; by hand:
//   bench_engine MODEL --precision bf16 --threads 2 --runs 5 --profile
// The image is procedural (tests/support), by default 1333 x 800, which the usual
// preprocessor_config.json leaves at its size.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "itemcrop/itemcrop.h"

#include "core/thread_pool.h"
#include "engine/devices.h"
#include "engine/engine.h"
#include "engine/request_groups.h"
#include "io/weights.h"
#include "model/grounding_dino.h"
#include "ops/profiler.h"
#include "support/procedural_image.h"
#include "text/tokenizer.h"

namespace {

using namespace itemcrop;
using Clock = std::chrono::steady_clock;

struct Arguments {
  std::string model;
  std::vector<std::string> items{"navy blazer", "white shirt", "pants", "shoes", "red scarf"};
  std::string precision = "auto";
  std::string dump;
  int width = 1333;
  int height = 800;
  std::uint64_t seed = 1;
  int threads = 0;
  int runs = 5;
  bool profile = false;
  bool plain = false;
};

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// Peak resident memory of this process in bytes, from the kernel.
std::size_t peak_resident_bytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmHWM:")) return std::stoull(line.substr(6)) * 1024;
  }
  return 0;
}

model::ModelSwitches switches_of(const Arguments& arguments) {
  return {.folded_fusion = !arguments.plain, .selected_boxes_only = !arguments.plain};
}

/// One run of the image part of the model, op by op, as a table on standard output.
void print_profile(const Arguments& arguments, const DetectRequest& request,
                   const DetectOptions& options) {
  const auto weights = io::load_weights(arguments.model);
  const text::Tokenizer tokenizer = text::Tokenizer::load(arguments.model);
  const auto backend = engine::make_backend(engine::resolve_backend(options));
  const int threads = options.threads != 0 ? options.threads : hardware_threads();
  const model::GroundingDino model(*weights, *backend, threads);
  engine::PassInput pass{
      text::build_passes(tokenizer, request.items, {}, weights->config().text_rules).front(), {}};
  const engine::PassInput* const one = &pass;
  const model::TextInput text = engine::join_passes(std::span(&one, 1));
  const model::ImageInput image{request.image, request.image.height, request.image.width};
  const auto pyramids = model.pyramids(std::span(&image, 1));
  const int sample = 0;
  std::vector<float> features(static_cast<std::size_t>(text.tokens() * model.width()));
  const auto run = [&](ops::Executor& executor) {
    const ops::ArenaScope scope(executor);
    model.encode_text(executor, text, features.data(), {});
    ops::Matrix vision = executor.allocate(pyramids.front().rows(), model.width());
    {
      const ops::ArenaScope backbone_scope(executor);
      const auto patches = model.cut_patches(executor, std::span(&image, 1), {});
      model.encode_images(executor, patches, pyramids, vision, {});
    }
    model.detect(executor, vision, pyramids, model::VisionUse::kLast, std::span(&sample, 1), text,
                 features.data(), switches_of(arguments), {});
  };
  const auto planner = backend->make_planner();
  run(*planner);
  const auto executor = backend->make_executor(threads, planner->peak_bytes());
  run(*executor);
  ops::WallTimeProfiler profiler;
  executor->set_profiler(&profiler);
  const Clock::time_point start = Clock::now();
  run(*executor);
  const double total = seconds_since(start) * 1e3;

  std::vector<std::pair<std::string, ops::OpTime>> rows(profiler.profile.begin(),
                                                        profiler.profile.end());
  std::ranges::sort(rows, std::greater{}, [](const auto& row) { return row.second.milliseconds; });
  std::printf("%-34s %6s %10s %6s\n", "op", "calls", "ms", "share");
  for (const auto& [name, time] : rows) {
    std::printf("%-34s %6d %10.1f %5.1f%%\n", name.c_str(), time.calls, time.milliseconds,
                100 * time.milliseconds / total);
  }
  std::printf("%-34s %6s %10.1f\n", "total", "", total);
}

/// Raw outputs for a peer to compare with: token ids, then logits and boxes of each query.
void dump_outputs(const Arguments& arguments, const Model& model, const DetectRequest& request,
                  const DetectOptions& options) {
  const auto& engine = dynamic_cast<const engine::Engine&>(model);
  const auto raw = engine.detect_raw(std::span(&request, 1), options, {}, switches_of(arguments));
  const engine::RawPass& pass = raw.front().front();
  std::ofstream(arguments.dump) << nlohmann::json{{"ids", pass.prompt.ids},
                                                  {"text", pass.prompt.text},
                                                  {"queries", pass.output.queries},
                                                  {"logits", pass.output.logits},
                                                  {"boxes", pass.output.boxes}};
}

void run(const Arguments& arguments) {
  const test::Image image =
      test::procedural_image(arguments.seed, arguments.width, arguments.height);
  DetectRequest request;
  request.image = image.view();
  for (const std::string& item : arguments.items) request.items.push_back({.prompt = item});
  DetectOptions options;
  options.device = Device::kCpu;
  options.precision = parse_precision(arguments.precision);
  options.threads = arguments.threads;
  if (arguments.profile) return print_profile(arguments, request, options);

  const Clock::time_point start = Clock::now();
  const auto model = Model::load(arguments.model);
  const double load = seconds_since(start);
  DetectReport report = model->detect(std::span(&request, 1), options);
  const double first = seconds_since(start);
  std::vector<double> times;
  for (int i = 0; i < arguments.runs; ++i) {
    const Clock::time_point begin = Clock::now();
    report = model->detect(std::span(&request, 1), options);
    times.push_back(seconds_since(begin));
  }
  if (!arguments.dump.empty()) dump_outputs(arguments, *model, request, options);
  std::printf("%s\n", nlohmann::json{{"device", report.device_name},
                                     {"precision", to_string(report.precision)},
                                     {"load_seconds", load},
                                     {"first_result_seconds", first},
                                     {"run_seconds", times},
                                     {"workspace_bytes", report.peak_workspace_bytes},
                                     {"peak_resident_bytes", peak_resident_bytes()}}
                          .dump()
                          .c_str());
}

}  // namespace

int main(int argc, char** argv) {
  Arguments arguments;
  CLI::App app("Times one detection on the CPU");
  app.add_option("model", arguments.model, "checkpoint folder")->required();
  app.add_option("--items", arguments.items, "what to look for")->delimiter(',');
  app.add_option("--precision", arguments.precision, "auto, fp32 or bf16");
  app.add_option("--width", arguments.width, "image width in pixels");
  app.add_option("--height", arguments.height, "image height in pixels");
  app.add_option("--seed", arguments.seed, "of the procedural image");
  app.add_option("--threads", arguments.threads, "0: every core");
  app.add_option("--runs", arguments.runs, "timed runs after the first");
  app.add_option("--dump", arguments.dump, "write ids, logits and boxes to this JSON file");
  app.add_flag("--profile", arguments.profile, "print the time of every op of one run");
  app.add_flag("--plain", arguments.plain,
               "of --profile and --dump: without the folded fusion and selected boxes");
  CLI11_PARSE(app, argc, argv);
  try {
    run(arguments);
  } catch (const Error& error) {
    std::fprintf(stderr, "bench_engine: %s\n", error.what());
    return 1;
  }
  return 0;
}
