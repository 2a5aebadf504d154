#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "parity/parity_case.h"

#ifdef ITEMCROP_TEST_PHOTOS
#include <zlib.h>

#include "image/decode.h"
#endif

namespace itemcrop::test {
namespace {

// The embedded checkpoint: trained weights, so also what bf16 does to real detections.
class WardrobeParity : public testing::Test {
 protected:
  static void SetUpTestSuite() { model_ = Model::load(ITEMCROP_SOURCE_DIR "/models/wardrobe"); }
  static void TearDownTestSuite() { model_.reset(); }

  static const engine::Engine& engine() { return dynamic_cast<const engine::Engine&>(*model_); }

  static DetectOptions cpu(Precision precision) {
    DetectOptions options;
    options.device = Device::kCpu;
    options.precision = precision;
    return options;
  }

 private:
  static inline std::shared_ptr<const Model> model_;
};

TEST_F(WardrobeParity, ProceduralImage) {
  const CaseGolden golden = load_case("wardrobe/procedural");
  expect_parity(golden, run_case(engine(), golden, cpu(Precision::kFp32)), kFp32);
}

#ifdef ITEMCROP_TEST_PHOTOS

class WardrobeSample : public WardrobeParity {
 protected:
  WardrobeSample()
      : golden_(load_case("wardrobe/sample_wardrobe")),
        photo_(image::decode_file(std::string(ITEMCROP_SOURCE_DIR "/") +
                                  golden_.images.front().source.at("file").get<std::string>())) {}

  std::vector<Stages> run(Precision precision) const {
    const ImageView view = photo_.view();
    return run_case(engine(), golden_, std::span(&view, 1), cpu(precision));
  }

  CaseGolden golden_;
  image::Image photo_;
};

// Everything below depends on this; a libjpeg that rounds otherwise would show here.
TEST_F(WardrobeSample, DecodesToTheReferencesPixels) {
  const nlohmann::ordered_json& source = golden_.images.front().source;
  ASSERT_EQ(photo_.width(), source.at("width").get<int>());
  ASSERT_EQ(photo_.height(), source.at("height").get<int>());
  const auto bytes = static_cast<uInt>(3 * photo_.width() * photo_.height());
  EXPECT_EQ(crc32(0, photo_.view().pixels, bytes), source.at("crc32").get<uLong>());
}

TEST_F(WardrobeSample, Fp32) { expect_parity(golden_, run(Precision::kFp32), kFp32); }

TEST_F(WardrobeSample, Bf16) {
  const std::vector<Stages> stages = run(Precision::kBf16);
  expect_parity(golden_, stages, kBf16);
  expect_detections(golden_.images.front(), stages.front(), photo_.width(), photo_.height(),
                    kBf16Detections);
}

#endif

}  // namespace
}  // namespace itemcrop::test
