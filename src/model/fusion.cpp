#include "model/fusion.h"

#include <algorithm>
#include <cmath>
#include <string>

namespace itemcrop::model {
namespace {

/// Rows [begin, begin + count) of a weight, scaled.
HostWeight row_block(const HostWeight& all, std::int64_t begin, std::int64_t count, float scale) {
  HostWeight part{.weight = {}, .bias = {}, .outputs = count, .inputs = all.inputs};
  const auto first = all.weight.begin() + begin * all.inputs;
  part.weight.assign(first, first + count * all.inputs);
  part.bias.assign(all.bias.begin() + begin, all.bias.begin() + begin + count);
  for (float& value : part.weight) value *= scale;
  for (float& value : part.bias) value *= scale;
  return part;
}

/// The transpose of a weight, without bias.
HostWeight transposed(const HostWeight& from) {
  HostWeight result{.weight = std::vector<float>(from.weight.size()),
                    .bias = {},
                    .outputs = from.inputs,
                    .inputs = from.outputs};
  for (std::int64_t r = 0; r < from.outputs; ++r) {
    for (std::int64_t c = 0; c < from.inputs; ++c) {
      result.weight[static_cast<std::size_t>(c * from.outputs + r)] =
          from.weight[static_cast<std::size_t>(r * from.inputs + c)];
    }
  }
  return result;
}

/// Columns [begin, begin + count) of a weight, without bias.
HostWeight column_block(const HostWeight& all, std::int64_t begin, std::int64_t count) {
  HostWeight part{.weight = {}, .bias = {}, .outputs = all.outputs, .inputs = count};
  part.weight.reserve(static_cast<std::size_t>(all.outputs * count));
  for (std::int64_t r = 0; r < all.outputs; ++r) {
    const auto first = all.weight.begin() + r * all.inputs + begin;
    part.weight.insert(part.weight.end(), first, first + count);
  }
  return part;
}

}  // namespace

Fusion::Fusion(const WeightLoader& loader, int layer, LoadJobs& jobs)
    : heads_(loader.config().encoder_heads / 2),
      width_(loader.config().d_model),
      embed_(loader.config().encoder_ffn / 2),
      head_dim_(embed_ / heads_),
      folded_(static_cast<std::size_t>(heads_)) {
  jobs.emplace_back([this, loader, layer] {
    const std::string name = "model.encoder.layers." + std::to_string(layer) + ".fusion_layer.";
    const float epsilon = loader.config().layer_norm_eps;
    vision_norm_ = loader.norm(name + "layer_norm_vision", epsilon);
    text_norm_ = loader.norm(name + "layer_norm_text", epsilon);
    vision_gamma_ = loader.vector(name + "vision_param");
    text_gamma_ = loader.vector(name + "text_param");
    text_key_ = loader.linear(name + "attn.text_proj", Bias::kYes, kExact);
    text_value_ = loader.linear(name + "attn.values_text_proj", Bias::kYes, kExact);
    text_output_ = loader.linear(name + "attn.out_text_proj", Bias::kYes, kExact);

    const HostWeight query = loader.host_weight(name + "attn.vision_proj");
    const HostWeight value = loader.host_weight(name + "attn.values_vision_proj");
    const HostWeight output = loader.host_weight(name + "attn.out_vision_proj");
    vision_query_ = loader.prepare(query);
    vision_value_ = loader.prepare(value);
    vision_output_ = loader.prepare(output);
    output_bias_ = loader.vector(output.bias);
    const float scale = 1.0F / std::sqrt(static_cast<float>(head_dim_));
    for (std::size_t h = 0; h < folded_.size(); ++h) {
      const std::int64_t begin = static_cast<std::int64_t>(h) * head_dim_;
      const HostWeight head_query = row_block(query, begin, head_dim_, scale);
      folded_[h].key = loader.prepare(transposed(head_query), kExact);
      folded_[h].key_bias = loader.vector(head_query.bias);
      folded_[h].value = loader.prepare(column_block(output, begin, head_dim_), kExact);
      folded_[h].context = loader.prepare(row_block(value, begin, head_dim_, 1.0F), kExact);
    }
  });
}

bool Fusion::folding_pays(std::int64_t longest_text) const noexcept {
  // Multiply-adds a vision token: three products of each form, then those of T tokens.
  const std::int64_t folded = 3 * width_ * heads_ * longest_text;
  const std::int64_t plain = 3 * width_ * embed_ + 3 * embed_ * longest_text;
  return folded <= plain;
}

void Fusion::run(ops::Executor& executor, ops::Matrix vision,
                 std::span<const ops::Segment> vision_segments, ops::Matrix text,
                 std::span<const ops::Segment> text_segments, bool fold) const {
  const auto longest = std::ranges::max_element(text_segments, {}, &ops::Segment::rows);
  if (fold && folding_pays(longest->rows)) {
    run_folded(executor, vision, vision_segments, text, text_segments);
  } else {
    run_plain(executor, vision, vision_segments, text, text_segments);
  }
}

void Fusion::run_folded(ops::Executor& executor, ops::Matrix vision,
                        std::span<const ops::Segment> vision_segments, ops::Matrix text,
                        std::span<const ops::Segment> text_segments) const {
  const ops::BranchScope side(executor, ops::Branch::kSide);
  const ops::ArenaScope scope(executor);
  executor.run(ops::LayerNorm{text, text_norm_, text});
  ops::Matrix key = executor.allocate(text.rows, embed_, DType::kF32);
  ops::Matrix value = executor.allocate(text.rows, embed_, DType::kF32);
  executor.run(ops::Linear{text, *text_key_, key});
  executor.run(ops::Linear{text, *text_value_, value});

  std::vector<ops::Segment> folded_segments;
  for (const ops::Segment& s : text_segments) {
    folded_segments.push_back({s.begin * heads_, s.rows * heads_});
  }
  const std::int64_t rows = text.rows * heads_;
  ops::Matrix folded_keys = executor.allocate(rows, width_, DType::kF32);
  ops::Matrix key_bias = executor.allocate(rows, 1, DType::kF32);
  ops::Matrix folded_values = executor.allocate(rows, width_, DType::kF32);
  ops::Matrix context = executor.allocate(rows, width_, DType::kF32);

  // Head h of a sample with T tokens owns rows [h * T, (h + 1) * T) of the sample's folded rows.
  const auto for_each_head = [&](const auto& body) {
    for (std::size_t s = 0; s < text_segments.size(); ++s) {
      const ops::Segment& tokens = text_segments[s];
      for (int h = 0; h < heads_; ++h) {
        const auto in_head = [&, h](ops::Matrix m) {
          return m.row_range(tokens.begin, tokens.rows).column_range(h * head_dim_, head_dim_);
        };
        const auto in_fold = [&, h](ops::Matrix m) {
          return m.row_range(folded_segments[s].begin + h * tokens.rows, tokens.rows);
        };
        body(folded_[static_cast<std::size_t>(h)], in_head, in_fold);
      }
    }
  };
  for_each_head([&](const FoldedHead& head, const auto& in_head, const auto& in_fold) {
    executor.run(ops::Linear{in_head(key), *head.key, in_fold(folded_keys)});
    executor.run(ops::DotRows{in_head(key), *head.key_bias, in_fold(key_bias)});
    executor.run(ops::Linear{in_head(value), *head.value, in_fold(folded_values)});
  });
  executor.join();
  {
    const ops::BranchScope main(executor, ops::Branch::kMain);
    executor.run(ops::FoldedFusion{.vision = vision,
                                   .vision_segments = vision_segments,
                                   .keys = folded_keys,
                                   .key_bias = key_bias,
                                   .values = folded_values,
                                   .context = context,
                                   .folded_segments = folded_segments,
                                   .heads = heads_,
                                   .norm = &vision_norm_,
                                   .output_bias = output_bias_.get(),
                                   .gamma = vision_gamma_.get()});
  }
  // The text keys are spent, so their matrix takes the attended values.
  for_each_head([&](const FoldedHead& head, const auto& in_head, const auto& in_fold) {
    executor.run(ops::Linear{in_fold(context), *head.context, in_head(key)});
  });
  ops::Matrix delta = executor.allocate(text.rows, width_, DType::kF32);
  executor.run(ops::Linear{key, *text_output_, delta});
  executor.run(ops::AddScaled{text, *text_gamma_, delta, text});
}

void Fusion::run_plain(ops::Executor& executor, ops::Matrix vision,
                       std::span<const ops::Segment> vision_segments, ops::Matrix text,
                       std::span<const ops::Segment> text_segments) const {
  executor.join();
  const ops::ArenaScope scope(executor);
  executor.run(ops::LayerNorm{text, text_norm_, text});
  executor.run(ops::LayerNorm{vision, vision_norm_, vision});
  ops::Matrix key = executor.allocate(text.rows, embed_);
  ops::Matrix value = executor.allocate(text.rows, embed_);
  ops::Matrix attended_text = executor.allocate(text.rows, embed_);
  executor.run(ops::Linear{text, *text_key_, key});
  executor.run(ops::Linear{text, *text_value_, value});
  ops::Matrix query = executor.allocate(vision.rows, embed_);
  ops::Matrix vision_value = executor.allocate(vision.rows, embed_);
  executor.run(ops::Linear{vision, *vision_query_, query});
  executor.run(ops::Linear{vision, *vision_value_, vision_value});

  const float scale = 1.0F / std::sqrt(static_cast<float>(head_dim_));
  executor.run(ops::Attention{.query = key,
                              .key = query,
                              .value = vision_value,
                              .query_segments = text_segments,
                              .key_segments = vision_segments,
                              .heads = heads_,
                              .scale = scale,
                              .y = attended_text});
  // The vision values are spent, so their matrix takes the attended text.
  executor.run(ops::Attention{.query = query,
                              .key = key,
                              .value = value,
                              .query_segments = vision_segments,
                              .key_segments = text_segments,
                              .heads = heads_,
                              .scale = scale,
                              .y = vision_value});

  ops::Matrix vision_delta = executor.allocate(vision.rows, width_);
  executor.run(ops::Linear{vision_value, *vision_output_, vision_delta});
  executor.run(ops::AddScaled{vision, *vision_gamma_, vision_delta, vision});
  ops::Matrix text_delta = executor.allocate(text.rows, width_, DType::kF32);
  executor.run(ops::Linear{attended_text, *text_output_, text_delta});
  executor.run(ops::AddScaled{text, *text_gamma_, text_delta, text});
}

}  // namespace itemcrop::model
