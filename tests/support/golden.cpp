#include "support/golden.h"

#include <cstring>
#include <fstream>
#include <stdexcept>

#include "io/safetensors.h"
#include "support/procedural_weights.h"
#include "support/splitmix64.h"

namespace itemcrop::test {
namespace {

constexpr std::int64_t kSamples = 256;

StageGolden read_stage(const nlohmann::ordered_json& json, const io::TensorSource& tensors,
                       const std::string& name) {
  StageGolden stage{.rows = json.at("rows").get<std::int64_t>(),
                    .cols = json.at("cols").get<std::int64_t>(),
                    .mean = json.at("mean").get<double>(),
                    .rms = json.at("rms").get<double>(),
                    .values = {}};
  const io::StoredTensor* tensor = tensors.find(name);
  if (tensor == nullptr || tensor->dtype != DType::kF32) {
    throw std::runtime_error(tensors.origin() + ": no F32 tensor '" + name + "'");
  }
  stage.values.resize(static_cast<std::size_t>(tensor->elements()));
  if (!stage.whole() && tensor->elements() != kSamples) {
    throw std::runtime_error(tensors.origin() + ": '" + name + "' has " +
                             std::to_string(tensor->elements()) + " samples");
  }
  std::memcpy(stage.values.data(), tensor->data, tensor->bytes);
  return stage;
}

DetectionGolden read_detection(const nlohmann::ordered_json& json) {
  DetectionGolden detection;
  detection.score = json.at("score").get<float>();
  detection.label = json.at("label").get<std::string>();
  for (std::size_t i = 0; i < 4; ++i) detection.box[i] = json.at("box").at(i).get<float>();
  return detection;
}

ImageGolden read_image(const nlohmann::ordered_json& json, const io::TensorSource& tensors,
                       std::size_t index) {
  ImageGolden image;
  image.source = json.at("image");
  image.prompt = json.at("prompt").get<std::string>();
  image.ids = json.at("ids").get<std::vector<std::int32_t>>();
  image.resized_width = json.at("resized").at(0).get<int>();
  image.resized_height = json.at("resized").at(1).get<int>();
  image.topk = json.at("topk").get<std::vector<std::int64_t>>();
  for (const nlohmann::ordered_json& detection : json.at("detections")) {
    image.detections.push_back(read_detection(detection));
  }
  for (const auto& [name, stage] : json.at("stages").items()) {
    image.stages.emplace_back(name, read_stage(stage, tensors, std::to_string(index) + "." + name));
  }
  return image;
}

}  // namespace

std::filesystem::path golden_folder() { return ITEMCROP_GOLDEN_DIR; }

nlohmann::ordered_json load_golden_json(const std::filesystem::path& relative) {
  const std::filesystem::path path = golden_folder() / relative;
  std::ifstream file(path);
  if (!file) throw std::runtime_error("missing golden file " + path.string());
  return nlohmann::ordered_json::parse(file);
}

std::vector<std::int64_t> sample_indices(std::string_view stage, std::int64_t elements) {
  std::vector<std::int64_t> indices;
  std::uint64_t state = fnv1a64(stage);
  for (std::int64_t j = 0; j < kSamples; ++j, state += kGoldenGamma) {
    const std::uint64_t index = splitmix64(state) % static_cast<std::uint64_t>(elements);
    indices.push_back(static_cast<std::int64_t>(index));
  }
  return indices;
}

Image ImageGolden::image() const {
  return procedural_image(source.at("seed").get<std::uint64_t>(), source.at("width").get<int>(),
                          source.at("height").get<int>());
}

CaseGolden load_case(const std::string& name) {
  const nlohmann::ordered_json json = load_golden_json(name + ".json");
  const auto tensors = io::open_safetensors(golden_folder() / (name + ".safetensors"));
  CaseGolden golden{.name = name,
                    .text_rules = json.at("text_rules").get<std::string>(),
                    .shortest_edge = json.at("shortest_edge").get<int>(),
                    .longest_edge = json.at("longest_edge").get<int>(),
                    .threshold = json.at("threshold").get<float>(),
                    .images = {}};
  for (std::size_t i = 0; i < json.at("images").size(); ++i) {
    golden.images.push_back(read_image(json.at("images").at(i), *tensors, i));
  }
  return golden;
}

}  // namespace itemcrop::test
