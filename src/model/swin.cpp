#include "model/swin.h"

#include <string>

namespace itemcrop::model {
namespace {

/// nn.LayerNorm's default, which the embedding, merging and output norms keep whatever the config.
constexpr float kDefaultEpsilon = 1e-5F;

const std::string kPrefix = "model.backbone.conv_encoder.model.";

std::int64_t total_rows(std::span<const ops::Grid> grids) {
  return grids.back().begin + grids.back().rows();
}

/// Undoes image_patches, for the "pixels" stage: [patches, 3 p p] to [3 H, W].
std::vector<float> unpatch(const std::vector<float>& patches, const ImageInput& input, int patch) {
  const int across = (input.width + patch - 1) / patch;
  std::vector<float> pixels(static_cast<std::size_t>(3) * static_cast<std::size_t>(input.height) *
                            static_cast<std::size_t>(input.width));
  std::size_t out = 0;
  for (int c = 0; c < 3; ++c) {
    for (int y = 0; y < input.height; ++y) {
      for (int x = 0; x < input.width; ++x) {
        const int row = y / patch * across + x / patch;
        const int column = (c * patch + y % patch) * patch + x % patch;
        pixels[out++] = patches[static_cast<std::size_t>(row) * 3 * patch * patch + column];
      }
    }
  }
  return pixels;
}

}  // namespace

std::vector<ops::Grid> halved(std::span<const ops::Grid> grids) {
  std::vector<ops::Grid> result;
  std::int64_t begin = 0;
  for (const ops::Grid& grid : grids) {
    result.push_back({begin, (grid.height + 1) / 2, (grid.width + 1) / 2});
    begin += result.back().rows();
  }
  return result;
}

Swin::Swin(const WeightLoader& loader, LoadJobs& jobs)
    : config_(loader.config().swin), preprocess_(loader.config().preprocess) {
  stages_.resize(config_.depths.size());
  jobs.emplace_back([this, loader] {
    patch_projection_ = loader.linear(kPrefix + "embeddings.patch_embeddings.projection");
    patch_norm_ = loader.norm(kPrefix + "embeddings.norm", kDefaultEpsilon);
  });
  for (std::size_t s = 0; s < stages_.size(); ++s) {
    Stage& stage = stages_[s];
    const int number = static_cast<int>(s) + 1;
    stage.heads = config_.heads[s];
    stage.width = config_.stage_width(number);
    stage.blocks.resize(static_cast<std::size_t>(config_.depths[s]));
    const std::string layer = kPrefix + "encoder.layers." + std::to_string(s) + ".";
    for (std::size_t b = 0; b < stage.blocks.size(); ++b) {
      Block& block = stage.blocks[b];
      block.shift = b % 2 == 0 ? 0 : config_.window / 2;
      jobs.emplace_back([&block, loader, name = layer + "blocks." + std::to_string(b) + "."] {
        const io::SwinConfig& config = loader.config().swin;
        const Bias qkv_bias = config.qkv_bias ? Bias::kYes : Bias::kNo;
        const std::string self = name + "attention.self.";
        block.attention.norm = loader.norm(name + "layernorm_before", config.layer_norm_eps);
        block.attention.qkv =
            loader.stacked({self + "query", self + "key", self + "value"}, qkv_bias);
        block.attention.output = loader.linear(name + "attention.output.dense");
        block.attention.bias = loader.constant(self + "relative_position_bias_table");
        block.norm_after = loader.norm(name + "layernorm_after", config.layer_norm_eps);
        block.feed_forward = loader.feed_forward(name + "intermediate.dense", name + "output.dense",
                                                 config.activation);
      });
    }
    for (std::size_t o = 0; o < config_.out_stages.size(); ++o) {
      if (config_.out_stages[o] == number) stage.output = static_cast<int>(o);
    }
    jobs.emplace_back([&stage, loader, layer, number] {
      if (stage.output) {
        stage.output_norm = loader.norm(
            kPrefix + "hidden_states_norms.stage" + std::to_string(number), kDefaultEpsilon);
      }
      if (number < loader.config().swin.stages()) {
        stage.merge_norm = loader.norm(layer + "downsample.norm", kDefaultEpsilon);
        stage.merge = loader.linear(layer + "downsample.reduction", Bias::kNo);
      }
    });
  }
}

std::vector<ops::Grid> Swin::output_grids(int height, int width) const {
  std::vector<ops::Grid> result;
  const int patch = config_.patch_size;
  std::vector<ops::Grid> grid{{0, (height + patch - 1) / patch, (width + patch - 1) / patch}};
  for (const Stage& stage : stages_) {
    if (stage.output) result.push_back(grid.front());
    grid = halved(grid);
  }
  return result;
}

Swin::Patches Swin::cut_patches(ops::Executor& executor, std::span<const ImageInput> images,
                                const StageTap& tap) const {
  const int patch = config_.patch_size;
  Patches patches;
  std::int64_t begin = 0;
  for (const ImageInput& input : images) {
    patches.grids.push_back(
        {begin, (input.height + patch - 1) / patch, (input.width + patch - 1) / patch});
    begin += patches.grids.back().rows();
  }
  patches.rows = executor.allocate(begin, std::int64_t{3} * patch * patch);
  for (std::size_t i = 0; i < images.size(); ++i) {
    ops::PixelTransform transform{images[i].height, images[i].width, patch, {}, {}};
    for (std::size_t c = 0; c < 3; ++c) {
      const float factor = preprocess_.rescale ? preprocess_.rescale_factor : 1.0F;
      const float mean = preprocess_.normalize ? preprocess_.mean[c] : 0.0F;
      const float deviation = preprocess_.normalize ? preprocess_.std[c] : 1.0F;
      transform.scale[c] = factor / deviation;
      transform.shift[c] = -mean / deviation;
    }
    const ops::Grid& grid = patches.grids[i];
    const ops::Matrix rows = patches.rows.row_range(grid.begin, grid.rows());
    executor.run(ops::ImagePatches{images[i].image, transform, rows});
    if (tap) {
      std::vector<float> host(static_cast<std::size_t>(rows.rows * rows.cols));
      executor.download(rows, host.data());
      tap.values("pixels", static_cast<int>(i), unpatch(host, images[i], patch).data(),
                 std::int64_t{3} * images[i].height, images[i].width);
    }
  }
  return patches;
}

void Swin::run(ops::Executor& executor, const Patches& patches, const StageTap& tap,
               const OutputCallback& on_output) const {
  const ops::ArenaScope scope(executor);
  std::vector<ops::Grid> grids = patches.grids;
  ops::Matrix x = executor.allocate(patches.rows.rows, config_.embed_dim);
  executor.run(ops::Linear{patches.rows, *patch_projection_, x, {.norm_after = &patch_norm_}});
  tap(executor, "swin.embeddings", x, std::span<const ops::Grid>(grids));
  for (std::size_t s = 0; s < stages_.size(); ++s) {
    const Stage& stage = stages_[s];
    for (const Block& block : stage.blocks) {
      executor.run(ops::WindowAttention{
          x, grids, {config_.window, block.shift, stage.heads}, block.attention});
      executor.run(ops::FeedForward{x, block.feed_forward, &block.norm_after, nullptr, x});
    }
    tap(executor, "swin.stage" + std::to_string(s + 1), x, std::span<const ops::Grid>(grids));
    if (stage.output) {
      const ops::ArenaScope output_scope(executor);
      ops::Matrix features = executor.allocate(x.rows, x.cols);
      executor.run(ops::LayerNorm{x, stage.output_norm, features});
      tap(executor, "backbone.level" + std::to_string(*stage.output), features,
          std::span<const ops::Grid>(grids));
      on_output(*stage.output, features, grids);
    }
    if (stage.merge != nullptr) {
      const std::vector<ops::Grid> next = halved(grids);
      ops::Matrix y = executor.allocate(total_rows(next), stage.merge->outputs());
      executor.run(ops::PatchMerge{x, grids, *stage.merge_norm, *stage.merge, y, next});
      x = y;
      grids = next;
    }
  }
}

}  // namespace itemcrop::model
