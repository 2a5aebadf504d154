#include "parity/parity_case.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <iomanip>
#include <limits>
#include <memory>
#include <sstream>
#include <utility>

#include <gtest/gtest.h>

#include "support/procedural_source.h"

namespace itemcrop::test {
namespace {

struct KeptEngine {
  std::string config;
  std::unique_ptr<const engine::Engine> engine;
};

KeptEngine& kept_engine() {
  static KeptEngine kept;
  return kept;
}

/// Whether a stage is within the tolerance. Every comparison is written so that NaN fails.
bool is_within(const std::string& name, const StageError& error, const Tolerance& tolerance) {
  const bool is_query = is_query_stage(name);
  bool within =
      error.compared > 0 && error.relative <= (is_query ? tolerance.query_stage : tolerance.stage);
  // Samples can miss a bad region; the moments of the whole cannot.
  if (!is_query) {
    within = within && error.mean <= tolerance.stage && error.rms <= tolerance.stage;
  }
  if (name == "logits") within = within && error.largest <= tolerance.logits;
  if (name == "boxes") within = within && error.largest <= tolerance.boxes;
  return within;
}

std::string describe(const std::string& name, const StageError& error, bool within) {
  std::ostringstream line;
  line << (within ? "     " : "  !! ") << std::left << std::setw(32) << name << std::setprecision(2)
       << std::scientific << " relative " << error.relative << "  largest " << error.largest
       << "  mean " << error.mean << "  rms " << error.rms << '\n';
  return line.str();
}

/// Compares every stage of one image; the message of a failure lists them all in order, so that
/// the first that is wrong shows where to look.
void expect_stages(const ImageGolden& image, const Stages& engine, const QueryMatch& match,
                   const Tolerance& tolerance) {
  bool all_within = true;
  std::string table;
  for (const auto& [name, stage] : image.stages) {
    const auto found = engine.find(name);
    ASSERT_NE(found, engine.end()) << "the engine did not report " << name;
    const StageError error = compare_stage(name, stage, found->second, match);
    const bool within = is_within(name, error, tolerance);
    all_within = all_within && within;
    table += describe(name, error, within);
  }
  EXPECT_TRUE(all_within) << '\n' << table;
}

/// Largest distance of a box edge, in pixels; `box` is centre x, centre y, width, height in 0..1.
double box_distance(const float* box, const DetectionGolden& detection, int width, int height) {
  const double corners[] = {(box[0] - box[2] / 2) * width, (box[1] - box[3] / 2) * height,
                            (box[0] + box[2] / 2) * width, (box[1] + box[3] / 2) * height};
  double distance = 0;
  for (int c = 0; c < 4; ++c) {
    distance = std::max(distance, std::abs(corners[c] - detection.box[c]));
  }
  return distance;
}

}  // namespace

const engine::Engine& procedural_engine(const std::string& config) {
  KeptEngine& kept = kept_engine();
  if (kept.config != config) {
    release_procedural_engine();
    io::ModelConfig parsed =
        io::parse_model_config(load_golden_json(config + "/config.json").dump(),
                               load_golden_json(config + "/preprocessor_config.json").dump());
    auto source = std::make_unique<ProceduralSource>(parsed);
    auto weights = std::make_shared<const io::Weights>(std::move(parsed), std::move(source));
    kept.engine = std::make_unique<const engine::Engine>(
        config, std::move(weights), text::Tokenizer::load(golden_folder() / "tokenizer"));
    kept.config = config;
  }
  return *kept.engine;
}

std::string why_instruction_set_is_missing() {
  if (std::getenv("ITEMCROP_CPU_ISA") == nullptr) return "";
  const DeviceInfo cpu = list_devices().front();
  return cpu.usable ? "" : cpu.detail;
}

std::vector<Item> items_of(const std::string& prompt) {
  std::vector<Item> items;
  std::size_t begin = 0;
  for (std::size_t end; (end = prompt.find('.', begin)) != std::string::npos; begin = end + 2) {
    items.emplace_back().prompt = prompt.substr(begin, end - begin);
  }
  return items;
}

void release_procedural_engine() { kept_engine() = {}; }

void ParityTest::TearDownTestSuite() { release_procedural_engine(); }

CaseGolden ParityTest::golden() { return load_case(GetParam()); }

const engine::Engine& ParityTest::engine() {
  return procedural_engine(GetParam().substr(0, GetParam().find('/')));
}

std::string case_name(const testing::TestParamInfo<std::string>& tested) {
  std::string name = tested.param;
  name[name.find('/')] = '_';
  return name;
}

std::vector<Image> procedural_images(const CaseGolden& golden) {
  std::vector<Image> images;
  for (const ImageGolden& image : golden.images) images.push_back(image.image());
  return images;
}

std::vector<Stages> run_case(const engine::Engine& engine, const CaseGolden& golden,
                             const DetectOptions& options, const model::ModelSwitches& switches) {
  const std::vector<Image> images = procedural_images(golden);
  std::vector<ImageView> views;
  for (const Image& image : images) views.push_back(image.view());
  return run_case(engine, golden, views, options, switches);
}

std::vector<Stages> run_case(const engine::Engine& engine, const CaseGolden& golden,
                             std::span<const ImageView> images, const DetectOptions& options,
                             const model::ModelSwitches& switches) {
  std::vector<DetectRequest> requests;
  for (std::size_t i = 0; i < golden.images.size(); ++i) {
    requests.push_back({images[i], items_of(golden.images[i].prompt), {}});
  }
  DetectOptions sized = options;
  sized.shortest_edge = golden.shortest_edge;
  sized.longest_edge = golden.longest_edge;
  std::vector<Stages> stages(golden.images.size());
  const model::StageTap tap([&](std::string_view name, int index, const float* values,
                                std::int64_t rows, std::int64_t cols) {
    StageValues stage{rows, cols, std::vector<float>(values, values + rows * cols)};
    stages.at(static_cast<std::size_t>(index))
        .insert_or_assign(std::string(name), std::move(stage));
  });
  const auto passes = engine.detect_raw(requests, sized, tap, switches);
  for (std::size_t i = 0; i < passes.size(); ++i) {
    EXPECT_EQ(passes[i].size(), 1U);
    EXPECT_EQ(passes[i].front().prompt.ids, golden.images[i].ids);
  }
  return stages;
}

void expect_parity(const CaseGolden& golden, const std::vector<Stages>& images,
                   const Tolerance& tolerance) {
  ASSERT_EQ(images.size(), golden.images.size());
  for (std::size_t i = 0; i < images.size(); ++i) {
    SCOPED_TRACE(golden.name + ", image " + std::to_string(i));
    const ImageGolden& image = golden.images[i];
    ASSERT_TRUE(images[i].contains("queries.topk"));
    const QueryMatch match = match_queries(image.topk, images[i].find("queries.topk")->second);
    const auto queries = static_cast<double>(image.topk.size());
    EXPECT_GE(static_cast<double>(match.common), tolerance.common_queries * queries);
    EXPECT_GE(static_cast<double>(match.same_ranks), tolerance.matched_queries * queries);
    expect_stages(image, images[i], match, tolerance);
  }
}

void expect_detections(const ImageGolden& image, const Stages& engine, int width, int height,
                       const DetectionTolerance& tolerance) {
  const StageValues& logits = engine.find("logits")->second;
  const StageValues& boxes = engine.find("boxes")->second;
  const double pixels = tolerance.box * std::max(width, height) / 1333.0;
  ASSERT_FALSE(image.detections.empty());
  for (const DetectionGolden& detection : image.detections) {
    double least = std::numeric_limits<double>::infinity();  // of the larger share of a bound
    std::ostringstream closest;
    for (std::int64_t q = 0; q < boxes.rows; ++q) {
      const float* row = &logits.values[static_cast<std::size_t>(q * logits.cols)];
      const double score =
          1.0 / (1.0 + std::exp(-double{*std::max_element(row, row + logits.cols)}));
      const double distance =
          box_distance(&boxes.values[static_cast<std::size_t>(q * 4)], detection, width, height);
      const double share =
          std::max(std::abs(score - detection.score) / tolerance.score, distance / pixels);
      if (!(share < least)) continue;
      least = share;
      closest.str("");
      closest << "closest query: score " << score << ", box off by " << distance << " pixels";
    }
    EXPECT_LE(least, 1.0) << detection.label << " " << detection.score << ", " << closest.str();
  }
}

}  // namespace itemcrop::test
