#include "ops/planner.h"

#include <algorithm>
#include <string>

#include "itemcrop/error.h"

#include "core/arena.h"
#include "ops/geometry.h"

namespace itemcrop::ops {
namespace {

class Planner final : public Executor {
 public:
  explicit Planner(DType activation_dtype) : activation_dtype_(activation_dtype) {}

  Matrix allocate(std::int64_t rows, std::int64_t cols, DType dtype) override {
    require(rows >= 0 && cols > 0, "allocate");
    // A non-null address that nothing dereferences: the planner's matrices only carry shapes.
    auto* data = reinterpret_cast<void*>(Arena::kAlignment + used_);
    used_ += Arena::rounded(static_cast<std::size_t>(rows * cols) * size_of(dtype));
    peak_ = std::max(peak_, used_);
    return {data, dtype, rows, cols, cols};
  }
  std::size_t peak_bytes() const noexcept override { return peak_; }
  DType activation_dtype() const noexcept override { return activation_dtype_; }

  void upload(const float* /*host*/, Matrix y) override { require_floating(y, "upload"); }
  void download(Matrix x, float* /*host*/) override { require_floating(x, "download"); }
  void upload_indices(std::span<const std::int32_t> host, Matrix y) override {
    require_indices(y, static_cast<std::int64_t>(host.size()), "upload_indices");
  }
  void download_indices(Matrix x, std::int32_t* /*host*/) override {
    require_indices(x, x.rows, "download_indices");
  }

  void image_patches(const ImageView& image, const PixelTransform& t, Matrix y) override {
    constexpr const char* kOp = "image_patches";
    require(image.pixels != nullptr && image.width >= 1 && image.height >= 1, kOp);
    require(t.width >= 1 && t.height >= 1 && t.patch >= 1, kOp);
    const std::int64_t across = (t.width + t.patch - 1) / t.patch;
    const std::int64_t down = (t.height + t.patch - 1) / t.patch;
    require_shape(y, across * down, std::int64_t{3} * t.patch * t.patch, kOp);
  }
  void window_attention(Matrix x, std::span<const Grid> grids, const WindowGeometry& geometry,
                        const WindowAttentionWeights& weights) override {
    constexpr const char* kOp = "window_attention";
    require_grids(grids, x, kOp);
    require(geometry.window >= 1 && geometry.heads >= 1 && x.cols % geometry.heads == 0, kOp);
    require(geometry.shift >= 0 && geometry.shift < geometry.window, kOp);
    require_norm(weights.norm, x.cols, kOp);
    require_linear(*weights.qkv, x.cols, 3 * x.cols, kOp);
    require_linear(*weights.output, x.cols, x.cols, kOp);
    const std::int64_t span = 2 * geometry.window - 1;
    require(weights.bias->rows() == span * span && weights.bias->cols() == geometry.heads, kOp);
  }
  void patch_merge(Matrix x, std::span<const Grid> from, const Norm& norm, const Linear& reduction,
                   Matrix y, std::span<const Grid> to) override {
    constexpr const char* kOp = "patch_merge";
    require_halved(x, from, y, to, kOp);
    require_norm(norm, 4 * x.cols, kOp);
    require_linear(reduction, 4 * x.cols, y.cols, kOp);
  }
  void convolve_3x3_stride2(Matrix x, std::span<const Grid> from, const Linear& weight, Matrix y,
                            std::span<const Grid> to) override {
    constexpr const char* kOp = "convolve_3x3_stride2";
    require_halved(x, from, y, to, kOp);
    require_linear(weight, 9 * x.cols, y.cols, kOp);
  }
  void group_norm(Matrix x, std::span<const Segment> from, int groups, const Norm& norm, Matrix y,
                  std::span<const Segment> to) override {
    constexpr const char* kOp = "group_norm";
    require_segments(from, x, kOp);
    require_segments(to, y, kOp);
    require(from.size() == to.size() && x.cols == y.cols, kOp);
    for (std::size_t i = 0; i < from.size(); ++i) require(from[i].rows == to[i].rows, kOp);
    require(groups >= 1 && x.cols % groups == 0, kOp);
    require_norm(norm, x.cols, kOp);
  }

  void linear(Matrix x, const Linear& weight, Matrix y, const LinearOptions& options) override {
    constexpr const char* kOp = "linear";
    require_linear(weight, x.cols, y.cols, kOp);
    require_floating(x, kOp);
    require_shape(y, x.rows, weight.outputs(), kOp);
    if (options.norm_before != nullptr) require_norm(*options.norm_before, x.cols, kOp);
    if (options.norm_after != nullptr) require_norm(*options.norm_after, y.cols, kOp);
    if (!options.residual.empty()) require_shape(options.residual, y.rows, y.cols, kOp);
  }
  void feed_forward(Matrix x, const FeedForwardWeights& weights, const Norm* norm_before,
                    const Norm* norm_after, Matrix y) override {
    constexpr const char* kOp = "feed_forward";
    require_shape(y, x.rows, x.cols, kOp);
    require_linear(*weights.up, x.cols, weights.up->outputs(), kOp);
    require_linear(*weights.down, weights.up->outputs(), x.cols, kOp);
    if (norm_before != nullptr) require_norm(*norm_before, x.cols, kOp);
    if (norm_after != nullptr) require_norm(*norm_after, x.cols, kOp);
  }
  void layer_norm(Matrix x, const Norm& norm, Matrix y) override {
    require_shape(y, x.rows, x.cols, "layer_norm");
    require_norm(norm, x.cols, "layer_norm");
  }
  void attention(const AttentionArgs& a, Matrix y) override {
    constexpr const char* kOp = "attention";
    require_segments(a.query_segments, a.query, kOp);
    require_segments(a.key_segments, a.key, kOp);
    require(a.query_segments.size() == a.key_segments.size(), kOp);
    for (const Segment& keys : a.key_segments) require(keys.rows >= 1, kOp);
    require(a.heads >= 1 && a.query.cols % a.heads == 0 && a.key.cols == a.query.cols, kOp);
    require(a.value.cols % a.heads == 0 && a.value.rows == a.key.rows, kOp);
    require_shape(y, a.query.rows, a.value.cols, kOp);
    if (!a.blocks.empty()) {
      require(a.query.rows == a.key.rows, kOp);
      require(static_cast<std::int64_t>(a.blocks.size()) == a.query.rows, kOp);
    }
  }
  void add(Matrix a, Matrix b, Matrix y) override {
    require_shape(b, a.rows, a.cols, "add");
    require_shape(y, a.rows, a.cols, "add");
  }
  void add_scaled(Matrix a, const Constant& scale, Matrix b, Matrix y) override {
    require_shape(b, a.rows, a.cols, "add_scaled");
    require_shape(y, a.rows, a.cols, "add_scaled");
    require(scale.rows() == 1 && scale.cols() == a.cols, "add_scaled");
  }
  void copy(Matrix x, Matrix y) override { require_shape(y, x.rows, x.cols, "copy"); }
  void assign(const Constant& table, Matrix y) override {
    require_shape(y, y.rows, table.cols(), "assign");
    require(y.rows <= table.rows(), "assign");
  }
  void gather_rows(Matrix x, Matrix indices, Matrix y) override {
    require_indices(indices, y.rows, "gather_rows");
    require(x.cols == y.cols, "gather_rows");
  }
  void dot_rows(Matrix x, const Constant& vector, Matrix y) override {
    require(vector.rows() == 1 && vector.cols() == x.cols, "dot_rows");
    require_fp32(y, x.rows, 1, "dot_rows");
  }

  void embed_tokens(std::span<const std::int32_t> ids, std::span<const std::int32_t> position_ids,
                    const Constant& words, const Constant& positions, const Constant& types,
                    Matrix y) override {
    constexpr const char* kOp = "embed_tokens";
    require_shape(y, static_cast<std::int64_t>(ids.size()), words.cols(), kOp);
    require(position_ids.size() == ids.size(), kOp);
    require(positions.cols() == words.cols() && types.cols() == words.cols(), kOp);
    const auto within = [](std::span<const std::int32_t> values, std::int64_t limit) {
      return std::ranges::all_of(values, [=](std::int32_t v) { return v >= 0 && v < limit; });
    };
    require(within(ids, words.rows()) && within(position_ids, positions.rows()), kOp);
  }

  void axis_positions(std::span<const Pyramid> pyramids, const Constant& level_embedding,
                      float temperature, Matrix y) override {
    constexpr const char* kOp = "axis_positions";
    require_shape(y, axis_rows(pyramids), level_embedding.cols(), kOp);
    require(temperature > 0 && y.cols % 4 == 0, kOp);
    for (const Pyramid& pyramid : pyramids) {
      require(static_cast<std::int64_t>(pyramid.levels.size()) == level_embedding.rows(), kOp);
      for (const Grid& level : pyramid.levels) require(level.height >= 1 && level.width >= 1, kOp);
    }
  }
  void folded_fusion(const FoldedFusionArgs& a) override {
    constexpr const char* kOp = "folded_fusion";
    require_segments(a.vision_segments, a.vision, kOp);
    require_segments(a.folded_segments, a.keys, kOp);
    require(a.vision_segments.size() == a.folded_segments.size(), kOp);
    for (const Segment& folded : a.folded_segments) {
      require(a.heads >= 1 && folded.rows >= a.heads && folded.rows % a.heads == 0, kOp);
    }
    require_fp32(a.keys, a.keys.rows, a.vision.cols, kOp);
    require_fp32(a.values, a.keys.rows, a.vision.cols, kOp);
    require_fp32(a.context, a.keys.rows, a.vision.cols, kOp);
    require_fp32(a.key_bias, a.keys.rows, 1, kOp);
    require_norm(*a.norm, a.vision.cols, kOp);
    require(a.output_bias->cols() == a.vision.cols && a.gamma->cols() == a.vision.cols, kOp);
  }
  void deformable_attention(const DeformableArgs& a) override {
    constexpr const char* kOp = "deformable_attention";
    require_segments(a.query_segments, a.query, kOp);
    require_pyramids(a.pyramids, a.value, kOp);
    require(a.query_segments.size() == a.pyramids.size() && a.weights != nullptr, kOp);
    const bool cells = a.reference.empty();
    require_shape(a.position, cells ? axis_rows(a.pyramids) : a.query.rows, a.query.cols, kOp);
    require_shape(a.output, a.query.rows, a.query.cols, kOp);
    require(a.heads >= 1 && a.points >= 1 && a.value.cols % a.heads == 0, kOp);
    const auto levels = static_cast<std::int64_t>(a.pyramids.front().levels.size());
    for (std::size_t i = 0; i < a.pyramids.size(); ++i) {
      require(static_cast<std::int64_t>(a.pyramids[i].levels.size()) == levels, kOp);
      if (cells) require(a.query_segments[i].rows == a.pyramids[i].rows(), kOp);
    }
    if (!cells) require_fp32(a.reference, a.query.rows, 4, kOp);
    require_linear(*a.weights->sampling, a.query.cols, a.heads * levels * a.points * 3, kOp);
    require_linear(*a.weights->output, a.value.cols, a.query.cols, kOp);
    require_norm(a.weights->norm, a.query.cols, kOp);
  }
  void mask_proposals(Matrix x, std::span<const Pyramid> pyramids, Matrix y) override {
    require_pyramids(pyramids, x, "mask_proposals");
    require_shape(y, x.rows, x.cols, "mask_proposals");
  }
  void similarity(Matrix x, std::span<const Segment> segments, Matrix text,
                  std::span<const Segment> text_segments, Matrix y) override {
    std::int64_t widest = require_text(x, segments, text, text_segments, "similarity");
    require(y.dtype == DType::kF32 && y.rows == x.rows && y.cols >= widest, "similarity");
  }
  void max_similarity(Matrix x, std::span<const Segment> segments, Matrix text,
                      std::span<const Segment> text_segments, Matrix y) override {
    require_text(x, segments, text, text_segments, "max_similarity");
    require_fp32(y, x.rows, 1, "max_similarity");
  }
  void top_k(Matrix scores, std::span<const Segment> segments, std::span<const std::int64_t> counts,
             Matrix y) override {
    require_fp32(scores, scores.rows, 1, "top_k");
    require_segments(segments, scores, "top_k");
    require(segments.size() == counts.size(), "top_k");
    std::int64_t total = 0;
    for (std::size_t i = 0; i < counts.size(); ++i) {
      require(counts[i] >= 1 && counts[i] <= segments[i].rows, "top_k");
      total += counts[i];
    }
    require_indices(y, total, "top_k");
  }
  void proposal_boxes(Matrix delta, Matrix rows, std::span<const Pyramid> pyramids,
                      Matrix y) override {
    require(!pyramids.empty(), "proposal_boxes");
    require_fp32(delta, y.rows, 4, "proposal_boxes");
    require_fp32(y, y.rows, 4, "proposal_boxes");
    require_indices(rows, y.rows, "proposal_boxes");
  }
  void box_positions(Matrix boxes, int features, Matrix y) override {
    require_fp32(boxes, y.rows, 4, "box_positions");
    require(features >= 2 && features % 2 == 0, "box_positions");
    require_shape(y, boxes.rows, 4 * features, "box_positions");
  }
  void refine_boxes(Matrix delta, Matrix boxes, Matrix y) override {
    require_fp32(delta, y.rows, 4, "refine_boxes");
    require_fp32(boxes, y.rows, 4, "refine_boxes");
    require_fp32(y, y.rows, 4, "refine_boxes");
  }

 private:
  std::size_t arena_mark() const noexcept override { return used_; }
  void arena_release(std::size_t mark) noexcept override { used_ = mark; }

  static void require(bool holds, const char* op) {
    if (!holds) throw Error(ErrorCode::kInternal, std::string(op) + ": shapes break its contract");
  }
  static void require_floating(const Matrix& m, const char* op) {
    require(!m.empty() && m.stride >= m.cols, op);
    require(m.dtype == DType::kF32 || m.dtype == DType::kF16 || m.dtype == DType::kBF16, op);
  }
  static void require_shape(const Matrix& m, std::int64_t rows, std::int64_t cols, const char* op) {
    require_floating(m, op);
    require(m.rows == rows && m.cols == cols, op);
  }
  static void require_fp32(const Matrix& m, std::int64_t rows, std::int64_t cols, const char* op) {
    require_shape(m, rows, cols, op);
    require(m.dtype == DType::kF32, op);
  }
  static void require_indices(const Matrix& m, std::int64_t rows, const char* op) {
    require(!m.empty() && m.dtype == DType::kI32 && m.rows == rows && m.cols == 1, op);
  }
  static void require_norm(const Norm& norm, std::int64_t channels, const char* op) {
    require(norm.weight->cols() == channels && norm.bias->cols() == channels, op);
  }
  static void require_linear(const Linear& linear, std::int64_t inputs, std::int64_t outputs,
                             const char* op) {
    require(linear.inputs() == inputs && linear.outputs() == outputs, op);
  }
  static void require_segments(std::span<const Segment> segments, const Matrix& m, const char* op) {
    require_floating(m, op);
    for (const Segment& s : segments) {
      require(s.begin >= 0 && s.rows >= 0 && s.end() <= m.rows, op);
    }
  }
  static void require_grids(std::span<const Grid> grids, const Matrix& m, const char* op) {
    require_floating(m, op);
    for (const Grid& g : grids) {
      require(g.height >= 1 && g.width >= 1 && g.begin >= 0 && g.begin + g.rows() <= m.rows, op);
    }
  }
  static void require_halved(const Matrix& x, std::span<const Grid> from, const Matrix& y,
                             std::span<const Grid> to, const char* op) {
    require_grids(from, x, op);
    require_grids(to, y, op);
    require(from.size() == to.size(), op);
    for (std::size_t i = 0; i < from.size(); ++i) {
      require(to[i].height == (from[i].height + 1) / 2 && to[i].width == (from[i].width + 1) / 2,
              op);
    }
  }
  static void require_pyramids(std::span<const Pyramid> pyramids, const Matrix& m, const char* op) {
    require_floating(m, op);
    for (const Pyramid& pyramid : pyramids) {
      require(!pyramid.levels.empty(), op);
      require_grids(pyramid.levels, m, op);
      std::int64_t next = pyramid.begin();
      for (const Grid& level : pyramid.levels) {
        require(level.begin == next, op);
        next += level.rows();
      }
    }
  }
  static std::int64_t require_text(const Matrix& x, std::span<const Segment> segments,
                                   const Matrix& text, std::span<const Segment> text_segments,
                                   const char* op) {
    require_segments(segments, x, op);
    require_segments(text_segments, text, op);
    require(segments.size() == text_segments.size() && x.cols == text.cols, op);
    std::int64_t widest = 0;
    for (const Segment& s : text_segments) {
      require(s.rows >= 1, op);
      widest = std::max(widest, s.rows);
    }
    return widest;
  }

  DType activation_dtype_;
  std::size_t used_ = 0;
  std::size_t peak_ = 0;
};

}  // namespace

std::unique_ptr<Executor> make_planner(DType activation_dtype) {
  return std::make_unique<Planner>(activation_dtype);
}

}  // namespace itemcrop::ops
