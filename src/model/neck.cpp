#include "model/neck.h"

#include <string>

namespace itemcrop::model {
namespace {

// nn.GroupNorm(32, d_model) in the reference, with its default epsilon.
constexpr int kGroups = 32;
constexpr float kEpsilon = 1e-5F;

/// [out, channel, row, column] to [out, row, column, channel], as convolve_3x3_stride2 reads it.
HostWeight channels_last(HostWeight host) {
  constexpr std::int64_t kTaps = 9;
  const std::int64_t channels = host.inputs / kTaps;
  std::vector<float> reordered(host.weight.size());
  for (std::int64_t o = 0; o < host.outputs; ++o) {
    const float* from = host.weight.data() + o * host.inputs;
    float* to = reordered.data() + o * host.inputs;
    for (std::int64_t c = 0; c < channels; ++c) {
      for (std::int64_t t = 0; t < kTaps; ++t) to[t * channels + c] = from[c * kTaps + t];
    }
  }
  host.weight = std::move(reordered);
  return host;
}

std::int64_t total_rows(std::span<const ops::Grid> grids) {
  return grids.back().begin + grids.back().rows();
}

}  // namespace

Neck::Neck(const WeightLoader& loader, LoadJobs& jobs)
    : outputs_(loader.config().swin.out_stages.size()),
      levels_(static_cast<std::size_t>(loader.config().levels)) {
  for (std::size_t l = 0; l < levels_.size(); ++l) {
    jobs.emplace_back([this, loader, l] {
      const std::string name = "model.input_proj_vision." + std::to_string(l);
      HostWeight host = loader.host_weight(name + ".0");
      levels_[l].projection =
          loader.prepare(l < outputs_ ? std::move(host) : channels_last(std::move(host)));
      levels_[l].norm = loader.norm(name + ".1", kEpsilon);
    });
  }
}

ops::Pyramid Neck::pyramid(std::span<const ops::Grid> outputs, std::int64_t begin) const {
  ops::Pyramid result;
  for (std::size_t l = 0; l < levels_.size(); ++l) {
    ops::Grid grid;
    if (l < outputs.size()) {
      grid = outputs[l];
    } else {
      const ops::Grid& previous = result.levels.back();
      grid = {0, (previous.height + 1) / 2, (previous.width + 1) / 2};
    }
    grid.begin = begin;
    begin += grid.rows();
    result.levels.push_back(grid);
  }
  return result;
}

void Neck::normalise(ops::Executor& executor, std::size_t level, ops::Matrix projected,
                     std::span<const ops::Grid> grids, std::span<const ops::Pyramid> pyramids,
                     ops::Matrix vision, const StageTap& tap) const {
  std::vector<ops::Segment> from;
  std::vector<ops::Segment> to;
  for (std::size_t i = 0; i < grids.size(); ++i) {
    from.push_back({grids[i].begin, grids[i].rows()});
    to.push_back({pyramids[i].levels[level].begin, grids[i].rows()});
  }
  executor.run(ops::GroupNorm{projected, from, kGroups, levels_[level].norm, vision, to});
  tap(executor, "vision.level" + std::to_string(level), vision, std::span<const ops::Segment>(to));
}

void Neck::project(ops::Executor& executor, int output, ops::Matrix features,
                   std::span<const ops::Grid> grids, std::span<const ops::Pyramid> pyramids,
                   ops::Matrix vision, const StageTap& tap) const {
  const ops::ArenaScope scope(executor);
  const auto level = static_cast<std::size_t>(output);
  ops::Matrix projected = executor.allocate(features.rows, vision.cols);
  executor.run(ops::Linear{features, *levels_[level].projection, projected});
  normalise(executor, level, projected, grids, pyramids, vision, tap);
  if (level + 1 != outputs_) return;

  // The first extra level reads the backbone's last output, later ones the level before.
  ops::Matrix source = features;
  std::vector<ops::Grid> source_grids(grids.begin(), grids.end());
  for (std::size_t extra = outputs_; extra < levels_.size(); ++extra) {
    const std::vector<ops::Grid> next = halved(source_grids);
    ops::Matrix y = executor.allocate(total_rows(next), vision.cols);
    executor.run(
        ops::Convolve3x3Stride2{source, source_grids, *levels_[extra].projection, y, next});
    normalise(executor, extra, y, next, pyramids, vision, tap);
    source = vision;
    source_grids.clear();
    for (const ops::Pyramid& pyramid : pyramids) source_grids.push_back(pyramid.levels[extra]);
  }
}

}  // namespace itemcrop::model
