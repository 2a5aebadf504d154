#include "unit/engine/micro_engine.h"

#include <filesystem>
#include <fstream>
#include <utility>

#include "io/model_config.h"
#include "io/weights.h"
#include "support/procedural_source.h"
#include "text/tokenizer.h"

namespace itemcrop::test {
namespace {

std::vector<std::string> vocabulary() {
  const std::filesystem::path file =
      std::filesystem::path(ITEMCROP_GOLDEN_DIR) / "tokenizer" / "vocab.txt";
  std::ifstream stream(file);
  if (!stream) throw std::runtime_error("missing " + file.string());
  std::vector<std::string> tokens;
  for (std::string line; std::getline(stream, line);) tokens.push_back(line);
  return tokens;
}

}  // namespace

std::shared_ptr<const engine::Engine> micro_engine() {
  const io::ModelConfig config =
      io::load_model_config(std::filesystem::path(ITEMCROP_GOLDEN_DIR) / "micro");
  auto weights = std::make_shared<io::Weights>(config, std::make_unique<ProceduralSource>(config));
  return std::make_shared<engine::Engine>("micro", std::move(weights),
                                          text::Tokenizer::from_vocabulary(vocabulary()));
}

DetectRequest request_for(const Image& image, const std::vector<std::string>& items) {
  DetectRequest request;
  request.image = image.view();
  for (const std::string& item : items) request.items.push_back({.prompt = item});
  request.scoring.threshold = 0.05F;
  return request;
}

}  // namespace itemcrop::test
