// The subcommands from arguments to exit code, with a model that needs no engine.

#include <fstream>
#include <iterator>
#include <sstream>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "cli/exit_code.h"
#include "cli/run.h"
#include "image/decode.h"
#include "image/encode.h"
#include "support/fake_model.h"
#include "support/temporary_folder.h"

namespace itemcrop::cli {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;
using test::FakeModel;

std::string photo_bytes(int width, int height) {
  std::vector<std::uint8_t> pixels(static_cast<std::size_t>(width * height * 3), 200);
  const std::vector<std::byte> bytes =
      image::encode({pixels.data(), width, height, 0}, image::Format::kPng);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::string text_of(const fs::path& file) {
  std::ifstream stream(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

class Commands : public ::testing::Test {
 protected:
  Commands() {
    fs::create_directories(folder_.path() / "models/wardrobe");
    folder_.write("models/wardrobe/config.json", "{}");
  }

  std::string at(const std::string& name) const { return (folder_.path() / name).string(); }

  int run_with(std::vector<std::string> arguments, std::string input = "") {
    std::istringstream in(input);
    out_.str("");
    err_.str("");
    const Environment environment{in,
                                  out_,
                                  err_,
                                  terminal_,
                                  [this](const fs::path&) -> std::shared_ptr<const Model> {
                                    if (load_fails_)
                                      throw Error(ErrorCode::kCorruptModel,
                                                  "tensor 'x' is missing");
                                    return model_;
                                  },
                                  [this] { return devices_; },
                                  [this](const std::string& name) -> std::optional<std::string> {
                                    if (name == "ITEMCROP_MODELS") return at("models");
                                    return std::nullopt;
                                  },
                                  {}};
    return run(arguments, environment);
  }

  std::string out() const { return out_.str(); }
  std::string err() const { return err_.str(); }

  test::TemporaryFolder folder_;
  std::shared_ptr<const Model> model_ = std::make_shared<FakeModel>();
  std::vector<DeviceInfo> devices_ = {
      {Device::kCpu, 0, "cpu (test)", true, "2 threads", {Precision::kFp32}}};
  bool load_fails_ = false;
  bool terminal_ = false;
  std::ostringstream out_;
  std::ostringstream err_;
};

TEST_F(Commands, CropWritesCropsJsonAnnotationsAndThePage) {
  folder_.write("Look A.png", photo_bytes(200, 100));
  ASSERT_EQ(run_with({"crop", at("Look A.png"), "--items", "Navy Blazer, no hat", "--distractor",
                      "curtain", "--out", at("out")}),
            kOk)
      << err();
  const fs::path crop = at("out/crops/look-a_01_navy-blazer.jpg");
  ASSERT_TRUE(fs::exists(crop));
  const image::Image cut = image::decode_file(crop);
  EXPECT_EQ(cut.width(), 21) << "20 wide at the left edge, 5% margin on the right";
  EXPECT_EQ(cut.height(), 56) << "50 high, 5% margin on both sides, rounded outwards";
  EXPECT_TRUE(fs::exists(at("out/annotated/look-a.jpg")));
  EXPECT_TRUE(fs::exists(at("out/index.html")));

  const Json results = Json::parse(text_of(at("out/results.json")));
  EXPECT_EQ(results["model"], "wardrobe");
  EXPECT_EQ(results["device"], "cpu");
  EXPECT_EQ(results["precision"], "fp32");
  const Json& photo = results["images"][0];
  EXPECT_EQ(photo["file"], at("Look A.png"));
  EXPECT_EQ(photo["width"], 200);
  EXPECT_EQ(photo["crops"], Json({"crops/look-a_01_navy-blazer.jpg"}));
  EXPECT_EQ(photo["not_found"], Json({"no hat"}));
  EXPECT_EQ(photo["detections"][0]["scores"].size(), 3U) << "distractors are scored too";
  EXPECT_NE(out().find("Navy Blazer 0.90; not found: no hat"), std::string::npos) << out();
  EXPECT_NE(out().find("1 crop of 1 photo: " + at("out/index.html")), std::string::npos) << out();
  EXPECT_EQ(err(), "");
}

TEST_F(Commands, CropsOfPhotosWithOneNameDoNotCollide) {
  fs::create_directories(at("x"));
  for (const char* name : {"a.png", "A.PNG", "x/a.png"}) folder_.write(name, photo_bytes(40, 40));
  ASSERT_EQ(run_with({"crop", at("a.png"), at("A.PNG"), at("x/a.png"), "--items", "hat", "--out",
                      at("out")}),
            kOk);
  EXPECT_EQ(std::distance(fs::directory_iterator(at("out/crops")), fs::directory_iterator()), 3);
}

TEST_F(Commands, OptionalOutputsCanBeLeftOut) {
  folder_.write("a.png", photo_bytes(40, 40));
  ASSERT_EQ(run_with({"crop", at("a.png"), "--items", "hat", "--out", at("out"), "--no-annotated",
                      "--no-index", "--format", "webp", "--quiet"}),
            kOk);
  EXPECT_FALSE(fs::exists(at("out/annotated")));
  EXPECT_FALSE(fs::exists(at("out/index.html")));
  EXPECT_TRUE(fs::exists(at("out/crops/a_01_hat.webp")));
  EXPECT_EQ(out(), "");
}

TEST_F(Commands, JsonToStandardOutputStandsAlone) {
  folder_.write("a.png", photo_bytes(40, 40));
  ASSERT_EQ(run_with({"crop", at("a.png"), "--items", "hat", "--out", at("out"), "--json", "-"}),
            kOk);
  EXPECT_EQ(out(), text_of(at("out/results.json")));
}

TEST_F(Commands, DetectPrintsJsonAndWritesNothing) {
  ASSERT_EQ(run_with({"detect", "-", "--items", "hat"}, photo_bytes(30, 20)), kOk) << err();
  const Json results = Json::parse(out());
  EXPECT_EQ(results["images"][0]["file"], "-");
  EXPECT_EQ(results["images"][0]["width"], 30);
  EXPECT_EQ(results["images"][0]["crops"], Json::array());
  ASSERT_EQ(
      run_with({"detect", "-", "--items", "hat", "--json", at("found.json")}, photo_bytes(30, 20)),
      kOk);
  EXPECT_EQ(out(), "");
  EXPECT_EQ(Json::parse(text_of(at("found.json")))["images"].size(), 1U);
}

TEST_F(Commands, AModelThatFindsNothingSaysOnceWhatItKnowsAndWhichToPull) {
  folder_.write("a.png", photo_bytes(30, 20));
  folder_.write("b.png", photo_bytes(30, 20));
  model_ = std::make_shared<FakeModel>([](const DetectRequest& request) {
    DetectResult result;
    for (const Item& item : request.items) result.not_found.push_back(item.prompt);
    return result;
  });
  const std::vector<std::string> command = {"detect", at("a.png"), at("b.png"), "--items", "mug"};
  ASSERT_EQ(run_with(command), kOk) << err();
  const Json hints = Json::parse(out())["hints"];
  ASSERT_EQ(hints.size(), 1U);
  EXPECT_NE(hints[0].get<std::string>().find("itemcrop models pull llmdet-tiny"),
            std::string::npos);
  EXPECT_EQ(err(), "itemcrop: hint: " + hints[0].get<std::string>() + "\n");
  std::vector<std::string> silent = command;
  silent.emplace_back("--no-hints");
  ASSERT_EQ(run_with(silent), kOk) << err();
  EXPECT_EQ(Json::parse(out())["hints"], Json::array());
  EXPECT_EQ(err(), "");
}

TEST_F(Commands, AFailedPhotoIsReportedAndDoesNotStopTheOthers) {
  folder_.write("a.png", photo_bytes(40, 40));
  folder_.write("broken.png", photo_bytes(40, 40).substr(0, 50));
  folder_.write("c.png", photo_bytes(40, 40));
  EXPECT_EQ(run_with({"crop", at("a.png"), at("broken.png"), at("missing.png"), at("c.png"),
                      "--items", "hat", "--out", at("out"), "--batch", "3"}),
            kSomePhotosFailed);
  const Json images = Json::parse(text_of(at("out/results.json")))["images"];
  ASSERT_EQ(images.size(), 4U);
  EXPECT_TRUE(images[0]["error"].is_null());
  EXPECT_EQ(images[1]["error"]["code"], "corrupt_image");
  EXPECT_TRUE(images[1]["width"].is_null());
  EXPECT_EQ(images[2]["error"]["code"], "not_found");
  EXPECT_TRUE(images[3]["error"].is_null());
  EXPECT_EQ(images[3]["crops"].size(), 1U);
  EXPECT_NE(err().find("itemcrop: error: "), std::string::npos);
  EXPECT_NE(err().find("broken.png"), std::string::npos);
  EXPECT_NE(err().find("missing.png"), std::string::npos);
}

TEST_F(Commands, LimitsAreFlags) {
  folder_.write("a.png", photo_bytes(40, 40));
  EXPECT_EQ(run_with({"detect", at("a.png"), "--items", "hat", "--max-pixels", "1599"}),
            kSomePhotosFailed);
  EXPECT_EQ(Json::parse(out())["images"][0]["error"]["code"], "limit_exceeded");
  EXPECT_EQ(run_with({"detect", at("a.png"), "--items", "hat", "--max-pixels", "1600"}), kOk);
  EXPECT_EQ(run_with({"detect", at("a.png"), "--items", "hat", "--max-bytes", "10"}),
            kSomePhotosFailed);
  EXPECT_EQ(run_with({"detect", "-", "--items", "hat", "--max-bytes", "10"}, photo_bytes(9, 9)),
            kSomePhotosFailed);
}

TEST_F(Commands, ExitCodesTellWhatWentWrong) {
  folder_.write("a.png", photo_bytes(40, 40));
  const std::vector<std::string> good = {"crop", at("a.png"), "--items", "hat", "--out", at("out")};
  const auto with = [&](std::vector<std::string> more) {
    std::vector<std::string> arguments = good;
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run_with(arguments);
  };
  EXPECT_EQ(with({}), kOk);
  EXPECT_EQ(with({"--bogus"}), kUsage);
  EXPECT_NE(err().find("itemcrop: error: "), std::string::npos);
  EXPECT_EQ(with({"--item", "refused"}), kUsage) << "what the model refuses of the items";
  EXPECT_EQ(with({"--model", "nowhere"}), kModelProblem);
  load_fails_ = true;
  EXPECT_EQ(with({}), kModelProblem);
  EXPECT_TRUE(err().ends_with("itemcrop: error: tensor 'x' is missing\n")) << err();
  load_fails_ = false;
  model_ = std::make_shared<FakeModel>([](const DetectRequest&) -> DetectResult {
    throw Error(ErrorCode::kUnsupportedDevice, "no GPU");
  });
  EXPECT_EQ(with({}), kDeviceProblem);
  model_ = std::make_shared<FakeModel>(
      [](const DetectRequest&) -> DetectResult { throw std::logic_error("a bug"); });
  EXPECT_EQ(with({}), kInternalProblem);
  model_ = std::make_shared<FakeModel>();
  folder_.write("file", "");
  EXPECT_EQ(with({"--out", at("file/out")}), kOutputProblem);
  EXPECT_EQ(with({"--json", at("no/such/folder.json")}), kOutputProblem);
}

TEST_F(Commands, ALostDeviceKeepsTheListOfFinishedPhotos) {
  folder_.write("a.png", photo_bytes(40, 40));
  folder_.write("b.png", photo_bytes(50, 40));
  model_ = std::make_shared<FakeModel>([](const DetectRequest& request) {
    if (request.image.width == 50) throw Error(ErrorCode::kDeviceLost, "gone");
    return FakeModel::find_all(request);
  });
  EXPECT_EQ(run_with({"crop", at("a.png"), at("b.png"), "--items", "hat", "--out", at("out")}),
            kDeviceProblem);
  const Json results = Json::parse(text_of(at("out/results.json")));
  EXPECT_EQ(results["images"].size(), 1U);
  EXPECT_EQ(results["complete"], false);
}

TEST_F(Commands, NothingIsReplacedWhereNoPhotoCouldBeRead) {
  folder_.write("a.png", photo_bytes(40, 40));
  ASSERT_EQ(run_with({"crop", at("a.png"), "--items", "hat", "--out", at("out")}), kOk);
  const std::string before = text_of(at("out/results.json"));
  EXPECT_EQ(Json::parse(before)["complete"], true);
  EXPECT_EQ(run_with({"crop", at("minni"), "--items", "hat", "--out", at("out")}),
            kSomePhotosFailed);
  EXPECT_NE(err().find(at("out") + " is left as it was"), std::string::npos) << err();
  EXPECT_EQ(text_of(at("out/results.json")), before);
  EXPECT_TRUE(fs::exists(at("out/crops/a_01_hat.jpg")));
  EXPECT_FALSE(fs::exists(at("out/previous")));
  EXPECT_EQ(run_with({"crop", at("minni"), "--items", "hat", "--out", at("new")}),
            kSomePhotosFailed);
  EXPECT_FALSE(fs::exists(at("new")));
  folder_.write("found.json", "kept");
  EXPECT_EQ(run_with({"detect", at("minni"), "--items", "hat", "--json", at("found.json")}),
            kSomePhotosFailed);
  EXPECT_EQ(text_of(at("found.json")), "kept");
}

TEST_F(Commands, ResultsOfOtherSettingsAreSaidAndMovedAway) {
  folder_.write("a.png", photo_bytes(40, 40));
  folder_.write("b.png", photo_bytes(40, 40));
  const std::vector<std::string> first = {"crop",  at("a.png"), "--items", "hat",
                                          "--out", at("out"),   "--json",  "-"};
  ASSERT_EQ(run_with(first), kOk);
  EXPECT_EQ(err(), "");
  const std::string before = text_of(at("out/results.json"));
  ASSERT_EQ(run_with({"crop", at("b.png"), "--items", "belt", "-t", "0.3", "--out", at("out")}),
            kOk);
  EXPECT_NE(err().find("holds results of 1 photo, "), std::string::npos) << err();
  EXPECT_NE(err().find("with other settings (items, threshold)"), std::string::npos) << err();
  EXPECT_NE(err().find("moved to " + at("out/previous")), std::string::npos) << err();
  EXPECT_EQ(text_of(at("out/previous/results.json")), before);
  EXPECT_TRUE(fs::exists(at("out/previous/crops/a_01_hat.jpg")));
  EXPECT_FALSE(fs::exists(at("out/crops/a_01_hat.jpg"))) << "no stale crop beside new ones";
  EXPECT_TRUE(fs::exists(at("out/crops/b_01_belt.jpg")));
  ASSERT_EQ(run_with(first), kOk);
  EXPECT_TRUE(fs::exists(at("out/previous/crops/b_01_belt.jpg")));
  EXPECT_FALSE(fs::exists(at("out/previous/crops/a_01_hat.jpg"))) << "one earlier run is kept";
  EXPECT_EQ(run_with({"crop", at("out/crops/a_01_hat.jpg"), "--items", "hat", "--out", at("out")}),
            kUsage)
      << "it would be moved away before it is read";
}

TEST_F(Commands, TheSummaryCountsWhatIsMissing) {
  fs::create_directories(at("photos/more"));
  for (const char* name : {"photos/a.png", "photos/b.png", "photos/more/c.png"}) {
    folder_.write(name, photo_bytes(std::string(name) == "photos/b.png" ? 50 : 40, 40));
  }
  folder_.write("photos/broken.png", "x");
  model_ = std::make_shared<FakeModel>([](const DetectRequest& request) {
    if (request.image.width == 50) return DetectResult{};
    return FakeModel::find_all(request);
  });
  EXPECT_EQ(run_with({"crop", at("photos"), "--items", "hat", "--out", at("out")}),
            kSomePhotosFailed);
  EXPECT_NE(out().find("1 crop of 3 photos (1 failed, 1 without an item): "), std::string::npos)
      << out();
  EXPECT_NE(out().find("1 photo in 1 subfolder was skipped; --recursive includes it\n"),
            std::string::npos)
      << out();
}

TEST_F(Commands, ManyNamesDoNotMakeALongLine) {
  folder_.write("a.png", photo_bytes(40, 40));
  model_ = std::make_shared<FakeModel>([](const DetectRequest& request) {
    DetectResult result = FakeModel::find_all(request);
    result.detections.resize(1);
    for (std::size_t i = 1; i < request.items.size(); ++i) {
      result.not_found.push_back(request.items[i].prompt);
    }
    return result;
  });
  ASSERT_EQ(run_with({"crop", at("a.png"), "--items", "a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q", "--out",
                      at("out")}),
            kOk);
  EXPECT_NE(out().find("not found: b, c, d, e and 12 more\n"), std::string::npos) << out();
}

TEST_F(Commands, ThumbnailsBelongToThePage) {
  folder_.write("a.png", photo_bytes(1200, 900));
  ASSERT_EQ(run_with({"crop", at("a.png"), "--items", "hat", "--out", at("out")}), kOk);
  const image::Image small = image::decode_file(at("out/thumbnails/a.jpg"));
  EXPECT_EQ(small.width(), 480);
  EXPECT_LE(image::decode_file(at("out/thumbnails/a_01_hat.jpg")).height(), 256);
  ASSERT_EQ(run_with({"crop", at("a.png"), "--items", "hat", "--out", at("plain"), "--no-index"}),
            kOk);
  EXPECT_FALSE(fs::exists(at("plain/thumbnails")));
}

TEST_F(Commands, ProgressIsDrawnOnATerminalOnly) {
  folder_.write("a.png", photo_bytes(40, 40));
  folder_.write("b.png", photo_bytes(40, 40));
  const std::vector<std::string> arguments = {"detect", at("a.png"), at("b.png"), "--items", "hat"};
  ASSERT_EQ(run_with(arguments), kOk);
  EXPECT_EQ(err(), "");
  terminal_ = true;
  ASSERT_EQ(run_with(arguments), kOk);
  EXPECT_NE(err().find("2/2"), std::string::npos);
  EXPECT_TRUE(Json::accept(out()));
}

TEST_F(Commands, TokenLabelsMayLeanOverTheEdge) {
  folder_.write("a.png", photo_bytes(40, 40));
  model_ = std::make_shared<FakeModel>([](const DetectRequest&) {
    DetectResult result;
    Detection detection;
    detection.item = "";  // no word above the text threshold
    detection.score = 0.5F;
    detection.box = {-5, -5, 45, 20};
    result.detections = {detection};
    return result;
  });
  ASSERT_EQ(
      run_with({"crop", at("a.png"), "--items", "hat", "--labels", "tokens", "--out", at("out")}),
      kOk)
      << err();
  EXPECT_TRUE(fs::exists(at("out/crops/a_01_item.jpg")));
}

TEST_F(Commands, InfoDescribesTheModel) {
  ASSERT_EQ(run_with({"info"}), kOk);
  for (const char* part : {"wardrobe", "grounding-dino", "1,234,567 in 89 tensors", "Backbone",
                           "t-shirt, long sleeve shirt", "0.25"}) {
    EXPECT_NE(out().find(part), std::string::npos) << out();
  }
  ASSERT_EQ(run_with({"info", "--json"}), kOk);
  const Json info = Json::parse(out());
  EXPECT_EQ(info["parameters"], 1234567);
  EXPECT_EQ(info["details"]["Backbone"], "none");
  EXPECT_EQ(info["taught_words"].size(), 17U);
  EXPECT_EQ(info["threshold"], 0.25);
}

TEST_F(Commands, DoctorTestsUsableDevices) {
  devices_.push_back({Device::kCuda, 0, "cuda", false, "no driver", {}});
  ASSERT_EQ(run_with({"doctor"}), kOk) << out();
  for (const char* part : {"cpu (test)", "no driver", "libvips", "oneDNN", "answers repeat"}) {
    EXPECT_NE(out().find(part), std::string::npos) << part << " is not in:\n" << out();
  }
  ASSERT_EQ(run_with({"doctor", "--json"}), kOk);
  const Json report = Json::parse(out());
  EXPECT_EQ(report["healthy"], true);
  EXPECT_EQ(report["devices"].size(), 2U);
  EXPECT_EQ(report["self_tests"].size(), 1U);
  model_ = std::make_shared<FakeModel>([](const DetectRequest&) -> DetectResult {
    throw Error(ErrorCode::kUnsupportedDevice, "broken");
  });
  EXPECT_EQ(run_with({"doctor"}), kDeviceProblem);
  load_fails_ = true;
  EXPECT_EQ(run_with({"doctor", "--json"}), kModelProblem);
  EXPECT_EQ(Json::parse(out())["model_problem"], "tensor 'x' is missing");
}

TEST_F(Commands, VerifyNeedsTensorsAndComparesExpectedValues) {
  EXPECT_EQ(run_with({"verify"}), kModelProblem) << "no model.safetensors";
  std::string file(8, '\0');
  std::string header = R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})";
  while (header.size() % 8 != 0) header += ' ';
  file[0] = static_cast<char>(header.size());
  folder_.write("models/wardrobe/model.safetensors", file + header + std::string(4, '\0'));
  EXPECT_EQ(run_with({"verify"}), kOk) << err();
  EXPECT_NE(out().find("no expected values are known"), std::string::npos) << out();

  folder_.write("photo.png", photo_bytes(100, 80));
  const std::string expected = R"({"source": "a test", "photo": "../../photo.png", "width": 100,
    "height": 80, "tolerance_fp32": {"score": 0.001, "box": 0.1, "extras": false},
    "tolerance_half": {"score": 0.02, "box": 2, "extras": false}, "cases": [{"items": ["hat"],
    "labels": "items", "threshold": 0.25, "text_threshold": 0.25,
    "detections": [{"label": "hat", "score": 0.9, "box": [0, 20, 10, 60]}]}]})";
  folder_.write("models/wardrobe/expected.json", expected);
  EXPECT_EQ(run_with({"verify"}), kOk) << out();
  EXPECT_NE(out().find("pass  hat: expected 0.9000"), std::string::npos) << out();
  EXPECT_EQ(run_with({"verify", "--json"}), kOk);
  EXPECT_EQ(Json::parse(out())["passed"], true);

  model_ = std::make_shared<FakeModel>([](const DetectRequest& request) {
    DetectResult result = FakeModel::find_all(request);
    result.detections[0].score = 0.8F;
    return result;
  });
  EXPECT_EQ(run_with({"verify"}), kModelProblem);
  EXPECT_NE(out().find("FAIL"), std::string::npos);

  folder_.write("small.png", photo_bytes(10, 10));
  EXPECT_EQ(run_with({"verify", "wardrobe", at("small.png")}), kUsage);
  EXPECT_NE(err().find("100 x 80"), std::string::npos) << err();
  EXPECT_EQ(run_with({"verify", "wardrobe", at("none.png")}), kUsage);
}

TEST_F(Commands, CompletionAndHelpNeedNoModel) {
  load_fails_ = true;
  for (const char* shell : {"bash", "zsh", "fish"}) {
    EXPECT_EQ(run_with({"completion", shell}), kOk);
    EXPECT_TRUE(out().find("--threshold") != std::string::npos ||
                out().find("-l threshold") != std::string::npos)
        << shell;
  }
  EXPECT_EQ(run_with({"--help"}), kOk);
  EXPECT_EQ(run_with({"--version"}), kOk);
}

}  // namespace
}  // namespace itemcrop::cli
