#include "ops_cases.h"

#include <cmath>
#include <cstdint>
#include <utility>

#include "ops/geometry.h"

namespace itemcrop::bench {
namespace {

using ops::Grid;
using ops::Matrix;
using ops::Segment;

/// Reproducible values in [-1, 1).
class Noise {
 public:
  float next() {
    state_ = state_ * 6364136223846793005ULL + 1442695040888963407ULL;
    return static_cast<float>(static_cast<std::int64_t>(state_ >> 40)) * 0x1p-23F - 1.0F;
  }
  std::vector<float> values(std::int64_t count, float scale) {
    std::vector<float> result(static_cast<std::size_t>(count));
    for (float& value : result) value = next() * scale;
    return result;
  }

 private:
  std::uint64_t state_ = 42;
};

/// What all cases need: an executor, and weights and matrices full of noise.
class Base : public OpCase {
 public:
  std::vector<float> result() override {
    if (output_.dtype == DType::kI32) {
      std::vector<std::int32_t> indices(static_cast<std::size_t>(output_.rows));
      executor_->download_indices(output_, indices.data());
      return {indices.begin(), indices.end()};
    }
    std::vector<float> values(static_cast<std::size_t>(output_.rows * output_.cols));
    executor_->download(output_, values.data());
    return values;
  }

 protected:
  Base(const ops::Backend& backend, int threads)
      : backend_(backend), executor_(backend.make_executor(threads, std::size_t{1} << 29)) {}

  std::unique_ptr<const ops::LinearWeights> linear(
      std::int64_t inputs, std::int64_t outputs,
      ops::WeightPrecision precision = ops::WeightPrecision::kBackend, float scale = 1.0F) {
    const auto weight =
        noise_.values(inputs * outputs, scale * 1.7F / std::sqrt(static_cast<float>(inputs)));
    const auto bias = noise_.values(outputs, 0.5F * scale);
    return backend_.make_linear({weight.data(), bias.data(), outputs, inputs}, precision);
  }
  std::unique_ptr<const ops::Constant> constant(std::int64_t rows, std::int64_t cols,
                                                float scale = 1.0F) {
    return backend_.make_constant(noise_.values(rows * cols, scale).data(), rows, cols);
  }
  ops::Norm norm(std::int64_t cols) { return {constant(1, cols), constant(1, cols), 1e-5F}; }
  Matrix zeros(std::int64_t rows, std::int64_t cols) { return noise(rows, cols, 0.0F); }
  Matrix noise(std::int64_t rows, std::int64_t cols, float scale = 1.0F) {
    const Matrix matrix = executor_->allocate(rows, cols, DType::kF32);
    executor_->upload(noise_.values(rows * cols, scale).data(), matrix);
    return matrix;
  }

  const ops::Backend& backend_;
  std::unique_ptr<ops::Executor> executor_;
  Noise noise_;
  Matrix output_;
};

ops::Pyramid pyramid(Size size) {
  if (size == Size::kSmall) return {{{0, 9, 13}, {117, 5, 7}, {152, 3, 4}, {164, 2, 2}}};
  return {{{0, 100, 167}, {16700, 50, 84}, {20900, 25, 42}, {21950, 13, 21}}};
}

struct WindowAttention final : Base {
  WindowAttention(const ops::Backend& backend, Size size, int threads, Grid map, int channels,
                  int heads, int shift)
      : Base(backend, threads),
        grid{size == Size::kSmall ? Grid{0, 17, 23} : map},
        geometry{7, shift, heads} {
    weights.norm = norm(channels);
    weights.qkv = linear(channels, 3 * channels);
    weights.output = linear(channels, channels, ops::WeightPrecision::kBackend, 0.01F);
    weights.bias = constant(13 * 13, heads);
    output_ = noise(grid.rows(), channels);
    const auto rows = static_cast<double>((grid.height + 6) / 7 * 7) *
                      static_cast<double>((grid.width + 6) / 7 * 7);
    flops_ = rows * channels * (8.0 * channels + 4.0 * 49);
    bytes_ = 8.0 * static_cast<double>(grid.rows()) * channels;
  }
  void run() override {
    executor_->run(ops::WindowAttention{output_, std::span(&grid, 1), geometry, weights});
  }
  Grid grid;
  ops::WindowGeometry geometry;
  ops::WindowAttentionWeights weights;
};

struct FeedForward final : Base {
  FeedForward(const ops::Backend& backend, Size size, int threads, std::int64_t rows, int channels,
              int hidden, ops::Activation activation)
      : Base(backend, threads), before(norm(channels)), after(norm(channels)) {
    if (size == Size::kSmall) rows = 301;
    gelu = activation == ops::Activation::kGelu;
    weights.up = linear(channels, hidden);
    weights.down = linear(hidden, channels);
    weights.activation = activation;
    x = noise(rows, channels);
    output_ = zeros(rows, channels);
    flops_ = 4.0 * static_cast<double>(rows) * channels * hidden;
    bytes_ = 8.0 * static_cast<double>(rows) * channels;
  }
  void run() override {  // Swin normalises before, the encoder after
    executor_->run(
        ops::FeedForward{x, weights, gelu ? &before : nullptr, gelu ? nullptr : &after, output_});
  }
  bool gelu;
  ops::Norm before, after;
  ops::FeedForwardWeights weights;
  Matrix x;
};

struct Product final : Base {
  Product(const ops::Backend& backend, Size size, int threads, std::int64_t rows, int inputs,
          int outputs, bool normalised, ops::WeightPrecision precision)
      : Base(backend, threads), after(norm(outputs)), weight(linear(inputs, outputs, precision)) {
    if (size == Size::kSmall) rows = std::min<std::int64_t>(rows, 301);
    x = noise(rows, inputs);
    output_ = zeros(rows, outputs);
    if (normalised) options.norm_after = &after;
    flops_ = 2.0 * static_cast<double>(rows) * inputs * outputs;
    bytes_ = 4.0 * static_cast<double>(rows) * (inputs + outputs);
  }
  void run() override { executor_->run(ops::Linear{x, *weight, output_, options}); }
  ops::Norm after;
  std::unique_ptr<const ops::LinearWeights> weight;
  ops::LinearOptions options;
  Matrix x;
};

struct PatchMerge final : Base {
  PatchMerge(const ops::Backend& backend, Size size, int threads, Grid map, int channels)
      : Base(backend, threads),
        from(size == Size::kSmall ? Grid{0, 17, 23} : map),
        to{0, (from.height + 1) / 2, (from.width + 1) / 2},
        before(norm(4 * channels)),
        reduction(linear(4 * channels, 2 * channels)) {
    x = noise(from.rows(), channels);
    output_ = zeros(to.rows(), 2 * channels);
    flops_ = 16.0 * static_cast<double>(to.rows()) * channels * channels;
    bytes_ = 4.0 * static_cast<double>(from.rows() + 2 * to.rows()) * channels;
  }
  void run() override {
    executor_->run(
        ops::PatchMerge{x, std::span(&from, 1), before, *reduction, output_, std::span(&to, 1)});
  }
  Grid from, to;
  ops::Norm before;
  std::unique_ptr<const ops::LinearWeights> reduction;
  Matrix x;
};

struct Convolution final : Base {
  Convolution(const ops::Backend& backend, Size size, int threads)
      : Base(backend, threads),
        from(size == Size::kSmall ? Grid{0, 5, 8} : Grid{0, 25, 42}),
        to{0, (from.height + 1) / 2, (from.width + 1) / 2},
        weight(linear(9 * 768, 256)) {
    x = noise(from.rows(), 768);
    output_ = zeros(to.rows(), 256);
    flops_ = 2.0 * static_cast<double>(to.rows()) * 9 * 768 * 256;
    bytes_ = 4.0 * static_cast<double>(from.rows() * 768 + to.rows() * 256);
  }
  void run() override {
    executor_->run(
        ops::Convolve3x3Stride2{x, std::span(&from, 1), *weight, output_, std::span(&to, 1)});
  }
  Grid from, to;
  std::unique_ptr<const ops::LinearWeights> weight;
  Matrix x;
};

struct GroupNorm final : Base {
  GroupNorm(const ops::Backend& backend, Size size, int threads)
      : Base(backend, threads), weights(norm(256)), segment{0, size == Size::kSmall ? 301 : 16700} {
    x = noise(segment.rows, 256);
    output_ = zeros(segment.rows, 256);
    bytes_ = 8.0 * 256 * static_cast<double>(segment.rows);
  }
  void run() override {
    executor_->run(
        ops::GroupNorm{x, std::span(&segment, 1), 32, weights, output_, std::span(&segment, 1)});
  }
  ops::Norm weights;
  Segment segment;
  Matrix x;
};

struct Fusion final : Base {
  Fusion(const ops::Backend& backend, Size size, int threads)
      : Base(backend, threads),
        before(norm(256)),
        bias(constant(1, 256)),
        gamma(constant(1, 256, 0.1F)),
        vision{0, size == Size::kSmall ? 1301 : 22223},
        folded{0, 4 * 16} {
    input = noise(vision.rows, 256);
    // The op works in place: each run starts from the same rows, so that checks compare one step.
    x = zeros(vision.rows, 256);
    keys = noise(folded.rows, 256, 0.3F);
    key_bias = noise(folded.rows, 1);
    values = noise(folded.rows, 256);
    context = zeros(folded.rows, 256);
    output_ = x;
    flops_ = 6.0 * static_cast<double>(vision.rows * folded.rows) * 256;
    bytes_ = 8.0 * static_cast<double>(vision.rows) * 256;
  }
  void run() override {
    executor_->run(ops::Copy{input, x});
    executor_->run(ops::FoldedFusion{x, std::span(&vision, 1), keys, key_bias, values, context,
                                     std::span(&folded, 1), 4, &before, bias.get(), gamma.get()});
  }
  std::vector<float> result() override {
    std::vector<float> values_of_both = Base::result();
    std::vector<float> text(static_cast<std::size_t>(context.rows * context.cols));
    executor_->download(context, text.data());
    values_of_both.insert(values_of_both.end(), text.begin(), text.end());
    return values_of_both;
  }
  ops::Norm before;
  std::unique_ptr<const ops::Constant> bias, gamma;
  Segment vision, folded;
  Matrix input, x, keys, key_bias, values, context;
};

struct Deformable final : Base {
  Deformable(const ops::Backend& backend, Size size, int threads, bool decoder)
      : Base(backend, threads), map(pyramid(size)) {
    const std::int64_t queries = decoder ? (size == Size::kSmall ? 130 : 900) : map.rows();
    segment = {0, queries};
    weights.sampling = linear(256, 8 * 16 * 3, ops::WeightPrecision::kBackend, 2.0F);
    weights.output = linear(256, 256);
    weights.norm = norm(256);
    query = noise(queries, 256);
    position = noise(decoder ? queries : ops::axis_rows(std::span(&map, 1)), 256);
    value = noise(map.rows(), 256);
    output_ = zeros(queries, 256);
    if (decoder) {
      auto boxes = noise_.values(queries * 4, 0.4F);
      for (float& box : boxes) box += 0.5F;
      reference = executor_->allocate(queries, 4, DType::kF32);
      executor_->upload(boxes.data(), reference);
    }
    const auto rows = static_cast<double>(queries);
    flops_ = rows * (2.0 * 256 * 384 + 2.0 * 256 * 256 + 8.0 * 16 * 4 * 32 * 2);
    bytes_ = 4.0 * 256 * (2 * rows + static_cast<double>(position.rows + map.rows()));
  }
  void run() override {
    executor_->run(ops::DeformableAttention{query, position, std::span(&segment, 1), reference,
                                            value, std::span(&map, 1), 8, 4, &weights, output_});
  }
  ops::Pyramid map;
  Segment segment;
  ops::DeformableWeights weights;
  Matrix query, position, value, reference;
};

struct Attention final : Base {
  Attention(const ops::Backend& backend, Size size, int threads, std::int64_t query_rows,
            std::int64_t key_rows, int heads, int channels, bool blocks)
      : Base(backend, threads), heads_(heads) {
    if (size == Size::kSmall && query_rows > 300) {
      if (key_rows == query_rows) key_rows = 301;
      query_rows = 301;
    }
    queries = {0, query_rows};
    keys = {0, key_rows};
    query = noise(query_rows, channels);
    key = noise(key_rows, channels);
    value = noise(key_rows, channels);
    output_ = zeros(query_rows, channels);
    if (blocks) {
      for (std::int64_t r = 0; r < query_rows; ++r) {
        block_of.push_back(static_cast<std::int32_t>(r / 5));
      }
    }
    flops_ = 4.0 * static_cast<double>(query_rows * key_rows) * channels;
    bytes_ = 4.0 * static_cast<double>(2 * query_rows + 2 * key_rows) * channels;
  }
  void run() override {
    const auto scale = 1.0F / std::sqrt(static_cast<float>(query.cols / heads_));
    executor_->run(ops::Attention{query, key, value, std::span(&queries, 1), std::span(&keys, 1),
                                  heads_, scale, block_of, output_});
  }
  int heads_;
  Segment queries, keys;
  Matrix query, key, value;
  std::vector<std::int32_t> block_of;
};

struct Selection final : Base {
  Selection(const ops::Backend& backend, Size size, int threads)
      : Base(backend, threads),
        map(pyramid(size)),
        segment{0, map.rows()},
        count(size == Size::kSmall ? 50 : 900) {
    x = noise(segment.rows, 256);
    masked = zeros(segment.rows, 256);
    text = noise(tokens.rows, 256);
    scores = zeros(segment.rows, 1);
    output_ = executor_->allocate(count, 1, DType::kI32);
    flops_ = 2.0 * static_cast<double>(segment.rows * tokens.rows) * 256;
    bytes_ = 4.0 * static_cast<double>(segment.rows) * 256 * 3;
  }
  void run() override {
    executor_->run(ops::MaskProposals{x, std::span(&map, 1), masked});
    executor_->run(
        ops::MaxSimilarity{{masked, std::span(&segment, 1), text, std::span(&tokens, 1)}, scores});
    executor_->run(ops::TopK{scores, std::span(&segment, 1), std::span(&count, 1), output_});
  }
  ops::Pyramid map;
  Segment segment;
  Segment tokens{0, 16};
  std::int64_t count;
  Matrix x, masked, text, scores;
};

struct Positions final : Base {
  Positions(const ops::Backend& backend, Size size, int threads)
      : Base(backend, threads), map(pyramid(size)), embedding(constant(4, 256)) {
    output_ = zeros(ops::axis_rows(std::span(&map, 1)), 256);
    bytes_ = 4.0 * static_cast<double>(output_.rows) * 256;
  }
  void run() override {
    executor_->run(ops::AxisPositions{std::span(&map, 1), *embedding, 20.0F, output_});
  }
  ops::Pyramid map;
  std::unique_ptr<const ops::Constant> embedding;
};

struct BoxPositions final : Base {
  BoxPositions(const ops::Backend& backend, Size size, int threads) : Base(backend, threads) {
    boxes = noise(size == Size::kSmall ? 131 : 900, 4);
    output_ = zeros(boxes.rows, 512);
    bytes_ = 4.0 * static_cast<double>(boxes.rows) * 512;
  }
  void run() override { executor_->run(ops::BoxPositions{boxes, 128, output_}); }
  Matrix boxes;
};

template <class C, class... Args>
Case make_case(std::string name, double per_image, Args... args) {
  return {std::move(name), per_image,
          [=](const ops::Backend& backend, Size size, int threads) -> std::unique_ptr<OpCase> {
            return std::make_unique<C>(backend, size, threads, args...);
          }};
}

}  // namespace

std::vector<Case> cases() {
  using ops::Activation;
  constexpr auto kBackend = ops::WeightPrecision::kBackend;
  constexpr auto kExact = ops::WeightPrecision::kExact;
  constexpr std::int64_t kTokens = 22223;
  std::vector<Case> result;
  const Grid maps[] = {{0, 200, 334}, {0, 100, 167}, {0, 50, 84}, {0, 25, 42}};
  const int depths[] = {2, 2, 6, 2};
  result.push_back(
      make_case<Product>("patch_embedding", 1, maps[0].rows(), 48, 96, true, kBackend));
  for (int stage = 0; stage < 4; ++stage) {
    const std::string suffix = std::string("_").append(std::to_string(stage + 1));
    const int channels = 96 << stage;
    result.push_back(make_case<WindowAttention>("window_attention" + suffix, depths[stage],
                                                maps[stage], channels, 3 << stage, 3));
    result.push_back(make_case<FeedForward>("swin_feed_forward" + suffix, depths[stage],
                                            maps[stage].rows(), channels, 4 * channels,
                                            Activation::kGelu));
    if (stage < 3) {
      result.push_back(make_case<PatchMerge>("patch_merge" + suffix, 1, maps[stage], channels));
    }
  }
  result.push_back(
      make_case<Product>("input_projection_2", 1, maps[1].rows(), 192, 256, false, kBackend));
  result.push_back(make_case<Convolution>("input_projection_5", 1));
  result.push_back(make_case<GroupNorm>("group_norm", 1));
  result.push_back(make_case<Positions>("axis_positions", 1));
  result.push_back(make_case<Fusion>("folded_fusion", 6));
  result.push_back(make_case<Product>("value_projection", 12, kTokens, 256, 256, false, kBackend));
  result.push_back(make_case<Deformable>("deformable_encoder", 6, false));
  result.push_back(
      make_case<FeedForward>("encoder_feed_forward", 6, kTokens, 256, 2048, Activation::kRelu));
  result.push_back(make_case<Product>("proposal_features", 1, kTokens, 256, 256, true, kExact));
  result.push_back(make_case<Selection>("selection", 1));
  result.push_back(make_case<BoxPositions>("box_positions", 6));
  result.push_back(
      make_case<Product>("decoder_projection", 48, std::int64_t{900}, 256, 256, false, kBackend));
  result.push_back(make_case<Attention>("decoder_attention", 6, std::int64_t{900},
                                        std::int64_t{900}, 8, 256, false));
  result.push_back(make_case<Attention>("text_cross_attention", 6, std::int64_t{900},
                                        std::int64_t{16}, 8, 256, false));
  result.push_back(
      make_case<Attention>("text_attention", 18, std::int64_t{16}, std::int64_t{16}, 4, 256, true));
  result.push_back(make_case<Deformable>("deformable_decoder", 6, true));
  result.push_back(make_case<FeedForward>("decoder_feed_forward", 6, std::int64_t{900}, 256, 2048,
                                          Activation::kRelu));
  result.push_back(
      make_case<Product>("text_product", 72, std::int64_t{16}, 768, 768, false, kExact));
  return result;
}

}  // namespace itemcrop::bench
