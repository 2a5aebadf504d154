#pragma once

#include <limits>
#include <span>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "engine/engine.h"
#include "parity/comparison.h"

namespace itemcrop::test {

/// How far a precision may be from the fp32 reference.
struct Tolerance {
  double stage;            ///< relative error of every stage before the decoder
  double query_stage;      ///< relative error of the decoder's stages, matched queries only
  double logits;           ///< largest absolute error of a logit of a matched query
  double boxes;            ///< largest absolute error of a box coordinate (0..1)
  double common_queries;   ///< least share of proposals that both select
  double matched_queries;  ///< least share of ranks that hold the same proposal
};

/// A stage within 1e-4, logits within 2e-3, boxes within 1e-4.
inline constexpr Tolerance kFp32{1e-4, 1e-4, 2e-3, 1e-4, 0.99, 0.97};

/// bf16 has 8 bits, 4e-3 a rounding, and a stage follows several. Proposals with scores that close
/// trade ranks, and a decoder input is the embedding of a rank, so traded queries, and through
/// self-attention all a little, are other queries: the decoder is held by expect_detections()
/// instead. NaN fails here too.
inline constexpr double kAnyFinite = std::numeric_limits<double>::max();
inline constexpr Tolerance kBf16{2e-2, kAnyFinite, kAnyFinite, kAnyFinite, 0.9, 0.0};

/// Tests of one case, "CONFIG/NAME", with the engine of its configuration.
class ParityTest : public testing::TestWithParam<std::string> {
 protected:
  static void TearDownTestSuite();

  static CaseGolden golden();
  static const engine::Engine& engine();
};

/// The case as a test's name.
std::string case_name(const testing::TestParamInfo<std::string>& tested);

/// Cases of the published shapes, which every backend is held to.
inline const auto kTinyCases =
    testing::Values("tiny/small_one", "tiny/small_items", "tiny/small_long", "tiny/small_batch",
                    "tiny/large_one", "tiny/large_items", "tiny/large_long");
inline const auto kBaseCases =
    testing::Values("base/small_one", "base/small_items", "base/small_long", "base/small_batch",
                    "base/large_one", "base/large_items", "base/large_long");
inline const auto kMmTinyCases = testing::Values("mm_tiny/small_items", "mm_tiny/small_long",
                                                 "mm_tiny/small_batch", "mm_tiny/large_one");

/// An engine with the procedural weights of tests/golden/CONFIG, kept for the process.
const engine::Engine& procedural_engine(const std::string& config);

/// Why the instruction set that ITEMCROP_CPU_ISA asks for cannot run here; empty if it can, or if
/// none is asked for: then nothing excuses a test.
std::string why_instruction_set_is_missing();

/// Frees the engine kept by procedural_engine().
void release_procedural_engine();

/// The items whose caption is `prompt`: "a cat. a dog." is {"a cat", "a dog"}.
std::vector<Item> items_of(const std::string& prompt);

/// The images of a case whose sources are all procedural.
std::vector<Image> procedural_images(const CaseGolden& golden);

/// Runs a case's prompts on `images` (one an image of the case) as one call and returns each
/// image's stages.
std::vector<Stages> run_case(const engine::Engine& engine, const CaseGolden& golden,
                             std::span<const ImageView> images, const DetectOptions& options,
                             const model::ModelSwitches& switches = {});
/// The same on the case's procedural images.
std::vector<Stages> run_case(const engine::Engine& engine, const CaseGolden& golden,
                             const DetectOptions& options,
                             const model::ModelSwitches& switches = {});

/// Compares every stage of every image with the reference, as GoogleTest expectations.
void expect_parity(const CaseGolden& golden, const std::vector<Stages>& images,
                   const Tolerance& tolerance);

/// Bounds on one detection, for precisions whose stages are not compared.
struct DetectionTolerance {
  double score;  ///< of a probability
  double box;    ///< in pixels of an image whose longer edge is 1333
};

/// What trading ranks does to a trained checkpoint's detections. transformers' own bf16 autocast is
/// as far from its fp32.
inline constexpr DetectionTolerance kBf16Detections{0.12, 5.0};

/// Expects, for each of the reference's detections in `image`, a query of the engine with that
/// score and box. `width` and `height` are the image's, in pixels.
void expect_detections(const ImageGolden& image, const Stages& engine, int width, int height,
                       const DetectionTolerance& tolerance);

}  // namespace itemcrop::test
