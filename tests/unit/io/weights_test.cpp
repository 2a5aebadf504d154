#include "io/weights.h"

#include <functional>
#include <map>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "io/weight_table.h"
#include "safetensors_bytes.h"
#include "small_config.h"
#include "support/expect_error.h"
#include "support/temporary_folder.h"

namespace itemcrop::io {
namespace {

using test::expect_error;
using test::small_config;

/// Tensors in memory, by name; a whole small checkpoint to spoil.
class MemorySource final : public TensorSource {
 public:
  explicit MemorySource(const ModelConfig& config) {
    for (const WeightSpec& spec : weight_table(config)) {
      add(spec.name, spec.shape);
    }
  }

  void add(const std::string& name, const std::vector<std::int64_t>& shape,
           DType dtype = DType::kF32, char fill = 0) {
    std::size_t bytes = size_of(dtype);
    for (const std::int64_t size : shape) {
      bytes *= static_cast<std::size_t>(size);
    }
    Entry& entry = entries_[name];
    entry.data.assign(bytes, static_cast<std::byte>(fill));
    entry.tensor = {name, dtype, shape, entry.data.data(), bytes};
  }
  void erase(const std::string& name) { entries_.erase(name); }

  const StoredTensor* find(std::string_view name) const override {
    const auto found = entries_.find(name);
    return found == entries_.end() ? nullptr : &found->second.tensor;
  }
  std::vector<std::string_view> names() const override {
    std::vector<std::string_view> names;
    for (const auto& [name, entry] : entries_) {
      names.push_back(name);
    }
    return names;
  }
  const std::string& origin() const noexcept override { return origin_; }

 private:
  struct Entry {
    std::vector<std::byte> data;
    StoredTensor tensor;
  };
  std::map<std::string, Entry, std::less<>> entries_;
  std::string origin_ = "memory";
};

ModelConfig config_with(bool share) {
  nlohmann::json config = small_config();
  config["decoder_bbox_embed_share"] = share;
  return parse_model_config(config.dump(), "");
}

Weights load(const std::function<void(MemorySource&)>& change, bool share = true) {
  const ModelConfig config = config_with(share);
  auto source = std::make_unique<MemorySource>(config);
  change(*source);
  return {config, std::move(source)};
}

void expect_refused(const std::function<void(MemorySource&)>& change, const char* part) {
  expect_error(ErrorCode::kCorruptModel, part, [&] { load(change); });
}

TEST(Weights, AcceptsWhatTheTableLists) {
  const Weights weights = load([](MemorySource&) {});
  EXPECT_EQ(weights.at("model.level_embed").shape, (std::vector<std::int64_t>{3, 64}));
  EXPECT_EQ(weights.config().d_model, 64);
  EXPECT_EQ(weights.stored_dtype(), "F32");
  std::int64_t parameters = 0;
  const auto table = weight_table(weights.config());
  for (const WeightSpec& spec : table) {
    parameters += weights.at(spec.name).elements();
  }
  EXPECT_EQ(weights.parameters(), parameters);
  EXPECT_EQ(weights.tensors(), static_cast<std::int64_t>(table.size()));
  expect_error(ErrorCode::kInternal, "'model.absent'", [&] { weights.at("model.absent"); });
}

TEST(Weights, ReportsMixedElementTypes) {
  const auto set = [](DType type) {
    return load([type](MemorySource& source) {
             source.add("model.level_embed", {3, 64}, type);
           })
        .stored_dtype();
  };
  EXPECT_EQ(set(DType::kF32), "F32");
  EXPECT_EQ(set(DType::kBF16), "mixed");
}

TEST(Weights, IgnoresBuffers) {
  EXPECT_NO_THROW(load([](MemorySource& source) {
    source.add(
        "model.backbone.conv_encoder.model.encoder.layers.0.blocks.0.attention.self."
        "relative_position_index",
        {16, 16}, DType::kI64);
    source.add("model.text_backbone.embeddings.position_ids", {1, 64}, DType::kI64);
    source.add("model.backbone.bn.num_batches_tracked", {}, DType::kI64);
    source.add("model.backbone.conv_encoder.model.swin.layernorm.weight", {64});
    source.add("model.backbone.conv_encoder.model.swin.layernorm.bias", {64});
  }));
}

TEST(Weights, NamesMissingExtraAndMisshapenTensors) {
  expect_refused([](MemorySource& source) { source.erase("model.level_embed"); },
                 "tensor 'model.level_embed' is missing (expected shape [3, 64])");
  expect_refused(
      [](MemorySource& source) {
        source.add("model.level_embed", {64, 3});
      },
      "tensor 'model.level_embed' has shape [64, 3], expected [3, 64]");
  expect_refused([](MemorySource& source) { source.add("model.level_embed", {}); },
                 "tensor 'model.level_embed' has shape [], expected [3, 64]");
  expect_refused([](MemorySource& source) { source.add("model.surprise", {1}); },
                 "tensor 'model.surprise' is not part of the model");
  expect_refused(
      [](MemorySource& source) {
        source.add("model.level_embed", {3, 64}, DType::kI32);
      },
      "tensor 'model.level_embed' has element type I32, expected F32, F16 or BF16");
}

TEST(Weights, ListsTheFirstTenProblemsAndCountsTheRest) {
  const auto change = [](MemorySource& source) {
    for (int i = 0; i < 15; ++i) {
      source.add("extra." + std::to_string(i), {1});
    }
  };
  expect_refused(change, "; and 5 more");
  expect_refused(change, "memory does not fit config.json: ");
}

TEST(Weights, FindsSharedBoxHeadsUnderAnyOneName) {
  const Weights weights = load([](MemorySource& source) {
    for (const char* part : {"0.weight", "0.bias", "1.weight", "1.bias", "2.weight", "2.bias"}) {
      const std::string name = std::string("bbox_embed.0.layers.") + part;
      const StoredTensor tensor = *source.find(name);
      source.erase(name);
      source.add("model.decoder.bbox_embed.1.layers." + std::string(part), tensor.shape);
    }
  });
  const StoredTensor& bias = weights.at("bbox_embed.0.layers.2.bias");
  EXPECT_EQ(bias.name, "model.decoder.bbox_embed.1.layers.2.bias");
  EXPECT_EQ(&weights.at("bbox_embed.1.layers.2.bias"), &bias);
  EXPECT_EQ(&weights.at("model.decoder.bbox_embed.0.layers.2.bias"), &bias);
}

TEST(Weights, AcceptsEqualRepeatsOfASharedHeadAndCountsThemOnce) {
  const std::int64_t once = load([](MemorySource&) {}).parameters();
  const auto repeat = [](MemorySource& source) {
    source.add("bbox_embed.1.layers.2.bias", {4});
    source.add("model.decoder.bbox_embed.0.layers.2.bias", {4});
  };
  EXPECT_EQ(load(repeat).parameters(), once);
}

TEST(Weights, RefusesRepeatsThatDiffer) {
  expect_refused(
      [](MemorySource& source) { source.add("bbox_embed.1.layers.2.bias", {4}, DType::kF32, 1); },
      "tensors 'bbox_embed.0.layers.2.bias' and 'bbox_embed.1.layers.2.bias' are one shared weight "
      "but differ");
  expect_refused([](MemorySource& source) { source.add("bbox_embed.1.layers.2.bias", {5}); },
                 "tensor 'bbox_embed.1.layers.2.bias' has shape [5], expected [4]");
}

TEST(Weights, IndependentHeadsAreAllRequired) {
  const Weights weights = load([](MemorySource&) {}, false);
  EXPECT_NE(&weights.at("bbox_embed.0.layers.2.bias"), &weights.at("bbox_embed.1.layers.2.bias"));
  expect_error(ErrorCode::kCorruptModel, "'bbox_embed.1.layers.2.bias' is missing", [] {
    load([](MemorySource& source) { source.erase("bbox_embed.1.layers.2.bias"); }, false);
  });
}

// mm-grounding-dino: no share flags, a bias a class head.
class MmWeights : public testing::Test {
 protected:
  static Weights load(const std::function<void(MemorySource&)>& change) {
    nlohmann::json config = small_config();
    config["model_type"] = "mm-grounding-dino";
    const ModelConfig parsed = parse_model_config(config.dump(), "");
    auto source = std::make_unique<MemorySource>(parsed);
    change(*source);
    return {parsed, std::move(source)};
  }
  static void expect_refused(const std::function<void(MemorySource&)>& change, const char* part) {
    expect_error(ErrorCode::kCorruptModel, part, [&] { load(change); });
  }
  static void keep_first_head(MemorySource& source) {
    for (const std::string name : {"bbox_embed.1.layers.0", "bbox_embed.1.layers.1",
                                   "bbox_embed.1.layers.2", "class_embed.1"}) {
      source.erase(name + ".weight");
      source.erase(name + ".bias");
    }
  }
};

TEST_F(MmWeights, PublishedOnesHaveAHeadALayerWithCopiesUnderTheDecoder) {
  const Weights weights = load([](MemorySource& source) {
    source.add("class_embed.0.bias", {}, DType::kF32, 1);
    source.add("model.decoder.class_embed.0.bias", {}, DType::kF32, 1);
    source.add("model.decoder.bbox_embed.1.layers.2.bias", {4});
  });
  EXPECT_FALSE(weights.config().decoder_bbox_embed_share);
  EXPECT_FALSE(weights.config().class_embed_share);
  EXPECT_NE(&weights.at("bbox_embed.0.layers.2.bias"), &weights.at("bbox_embed.1.layers.2.bias"));
  EXPECT_NE(&weights.at("class_embed.0.bias"), &weights.at("class_embed.1.bias"));
}

TEST_F(MmWeights, OneThatHoldsTheFirstHeadAloneSharesIt) {
  const Weights weights = load(keep_first_head);
  EXPECT_TRUE(weights.config().decoder_bbox_embed_share);
  EXPECT_TRUE(weights.config().class_embed_share);
  EXPECT_EQ(&weights.at("bbox_embed.0.layers.2.bias"), &weights.at("bbox_embed.1.layers.2.bias"));
  EXPECT_EQ(&weights.at("class_embed.0.bias"), &weights.at("class_embed.1.bias"));
}

TEST_F(MmWeights, OneBiasServesSeveralBoxHeads) {
  const Weights weights = load([](MemorySource& source) {
    source.erase("class_embed.0.bias");
    source.erase("class_embed.1.bias");
    source.add("model.decoder.class_embed.1.bias", {1});
  });
  EXPECT_FALSE(weights.config().decoder_bbox_embed_share);
  EXPECT_EQ(weights.at("class_embed.1.bias").name, "model.decoder.class_embed.1.bias");
}

TEST_F(MmWeights, ABiasIsAScalarOrAVectorOfOne) {
  EXPECT_NO_THROW(load([](MemorySource& source) {
    source.add("class_embed.0.bias", {1});
    source.add("model.encoder_output_class_embed.bias", {1});
  }));
  expect_refused([](MemorySource& source) { source.add("class_embed.0.bias", {2}); },
                 "tensor 'class_embed.0.bias' has shape [2], expected []");
  expect_refused(
      [](MemorySource& source) {
        source.add("class_embed.0.bias", {1, 1});
      },
      "tensor 'class_embed.0.bias' has shape [1, 1], expected []");
}

TEST_F(MmWeights, NamesWhatIsMissingAndWhatIsTooMuch) {
  expect_refused(
      [](MemorySource& source) { source.erase("model.encoder_output_class_embed.bias"); },
      "tensor 'model.encoder_output_class_embed.bias' is missing (expected shape [])");
  expect_refused([](MemorySource& source) { source.erase("bbox_embed.1.layers.2.bias"); },
                 "tensor 'bbox_embed.1.layers.2.bias' is missing (expected shape [4])");
  expect_refused(
      [](MemorySource& source) {
        source.erase("class_embed.0.bias");
        source.erase("class_embed.1.bias");
      },
      "tensor 'class_embed.0.bias' is missing (expected shape [])");
  expect_refused([](MemorySource& source) { source.add("class_embed.2.bias", {}); },
                 "tensor 'class_embed.2.bias' is not part of the model");
  expect_refused(
      [](MemorySource& source) {
        keep_first_head(source);
        source.erase("bbox_embed.0.layers.1.weight");
      },
      "tensor 'bbox_embed.0.layers.1.weight' is missing (expected shape [64, 64])");
}

TEST_F(MmWeights, RefusesCopiesThatDiffer) {
  expect_refused(
      [](MemorySource& source) {
        source.add("model.decoder.bbox_embed.1.layers.2.bias", {4}, DType::kF32, 1);
      },
      "'bbox_embed.1.layers.2.bias' and 'model.decoder.bbox_embed.1.layers.2.bias' are one shared "
      "weight but differ");
}

TEST(LoadWeights, ReportsAFolderWhoseTensorsDoNotFitItsConfig) {
  const test::TemporaryFolder folder;
  folder.write("config.json", small_config().dump());
  folder.write("preprocessor_config.json", "{}");
  test::SafetensorsBytes("{}", 0).write(folder.path() / "model.safetensors");
  expect_error(ErrorCode::kCorruptModel, "model.safetensors does not fit config.json",
               [&] { load_weights(folder.path()); });
}

TEST(LoadWeights, LoadsTheEmbeddedModel) {
  const auto weights = load_weights(std::filesystem::path(ITEMCROP_SOURCE_DIR) / "models/wardrobe");
  EXPECT_GT(weights->parameters(), 1'000'000);
  EXPECT_EQ(weights->at("bbox_embed.0.layers.2.bias").shape, (std::vector<std::int64_t>{4}));
}

}  // namespace
}  // namespace itemcrop::io
