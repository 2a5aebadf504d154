#include "ops/profiler.h"

#include <chrono>
#include <utility>

namespace itemcrop::ops {
namespace {

std::string product_name(const char* op, const Linear& weight) {
  return std::string(op) + " " + std::to_string(weight.inputs()) + " -> " +
         std::to_string(weight.outputs());
}

class Profiler final : public Executor {
 public:
  Profiler(std::unique_ptr<Executor> inner, Profile& profile)
      : inner_(std::move(inner)), profile_(profile) {}

  Matrix allocate(std::int64_t rows, std::int64_t cols, DType dtype) override {
    return inner_->allocate(rows, cols, dtype);
  }
  std::size_t peak_bytes() const noexcept override { return inner_->peak_bytes(); }
  DType activation_dtype() const noexcept override { return inner_->activation_dtype(); }
  void upload(const float* host, Matrix y) override {
    timed("upload", [&] { inner_->upload(host, y); });
  }
  void download(Matrix x, float* host) override {
    timed("download", [&] { inner_->download(x, host); });
  }
  void upload_indices(std::span<const std::int32_t> host, Matrix y) override {
    timed("upload_indices", [&] { inner_->upload_indices(host, y); });
  }
  void download_indices(Matrix x, std::int32_t* host) override {
    timed("download_indices", [&] { inner_->download_indices(x, host); });
  }
  void image_patches(const ImageView& image, const PixelTransform& transform, Matrix y) override {
    timed("image_patches", [&] { inner_->image_patches(image, transform, y); });
  }
  void window_attention(Matrix x, std::span<const Grid> grids, const WindowGeometry& geometry,
                        const WindowAttentionWeights& weights) override {
    timed(product_name("window_attention", *weights.qkv),
          [&] { inner_->window_attention(x, grids, geometry, weights); });
  }
  void patch_merge(Matrix x, std::span<const Grid> from, const Norm& norm, const Linear& reduction,
                   Matrix y, std::span<const Grid> to) override {
    timed("patch_merge", [&] { inner_->patch_merge(x, from, norm, reduction, y, to); });
  }
  void convolve_3x3_stride2(Matrix x, std::span<const Grid> from, const Linear& weight, Matrix y,
                            std::span<const Grid> to) override {
    timed("convolve_3x3_stride2", [&] { inner_->convolve_3x3_stride2(x, from, weight, y, to); });
  }
  void group_norm(Matrix x, std::span<const Segment> from, int groups, const Norm& norm, Matrix y,
                  std::span<const Segment> to) override {
    timed("group_norm", [&] { inner_->group_norm(x, from, groups, norm, y, to); });
  }
  void linear(Matrix x, const Linear& weight, Matrix y, const LinearOptions& options) override {
    timed(product_name("linear", weight), [&] { inner_->linear(x, weight, y, options); });
  }
  void feed_forward(Matrix x, const FeedForwardWeights& weights, const Norm* norm_before,
                    const Norm* norm_after, Matrix y) override {
    timed(product_name("feed_forward", *weights.up),
          [&] { inner_->feed_forward(x, weights, norm_before, norm_after, y); });
  }
  void layer_norm(Matrix x, const Norm& norm, Matrix y) override {
    timed("layer_norm", [&] { inner_->layer_norm(x, norm, y); });
  }
  void attention(const AttentionArgs& args, Matrix y) override {
    timed("attention", [&] { inner_->attention(args, y); });
  }
  void add(Matrix a, Matrix b, Matrix y) override {
    timed("add", [&] { inner_->add(a, b, y); });
  }
  void add_scaled(Matrix a, const Constant& scale, Matrix b, Matrix y) override {
    timed("add_scaled", [&] { inner_->add_scaled(a, scale, b, y); });
  }
  void copy(Matrix x, Matrix y) override {
    timed("copy", [&] { inner_->copy(x, y); });
  }
  void assign(const Constant& table, Matrix y) override {
    timed("assign", [&] { inner_->assign(table, y); });
  }
  void gather_rows(Matrix x, Matrix indices, Matrix y) override {
    timed("gather_rows", [&] { inner_->gather_rows(x, indices, y); });
  }
  void dot_rows(Matrix x, const Constant& vector, Matrix y) override {
    timed("dot_rows", [&] { inner_->dot_rows(x, vector, y); });
  }
  void embed_tokens(std::span<const std::int32_t> ids, std::span<const std::int32_t> position_ids,
                    const Constant& words, const Constant& positions, const Constant& types,
                    Matrix y) override {
    timed("embed_tokens",
          [&] { inner_->embed_tokens(ids, position_ids, words, positions, types, y); });
  }
  void axis_positions(std::span<const Pyramid> pyramids, const Constant& level_embedding,
                      float temperature, Matrix y) override {
    timed("axis_positions",
          [&] { inner_->axis_positions(pyramids, level_embedding, temperature, y); });
  }
  void folded_fusion(const FoldedFusionArgs& args) override {
    timed("folded_fusion", [&] { inner_->folded_fusion(args); });
  }
  void deformable_attention(const DeformableArgs& args) override {
    timed("deformable_attention", [&] { inner_->deformable_attention(args); });
  }
  void mask_proposals(Matrix x, std::span<const Pyramid> pyramids, Matrix y) override {
    timed("mask_proposals", [&] { inner_->mask_proposals(x, pyramids, y); });
  }
  void similarity(Matrix x, std::span<const Segment> segments, Matrix text,
                  std::span<const Segment> text_segments, Matrix y) override {
    timed("similarity", [&] { inner_->similarity(x, segments, text, text_segments, y); });
  }
  void max_similarity(Matrix x, std::span<const Segment> segments, Matrix text,
                      std::span<const Segment> text_segments, Matrix y) override {
    timed("max_similarity", [&] { inner_->max_similarity(x, segments, text, text_segments, y); });
  }
  void top_k(Matrix scores, std::span<const Segment> segments, std::span<const std::int64_t> counts,
             Matrix y) override {
    timed("top_k", [&] { inner_->top_k(scores, segments, counts, y); });
  }
  void proposal_boxes(Matrix delta, Matrix rows, std::span<const Pyramid> pyramids,
                      Matrix y) override {
    timed("proposal_boxes", [&] { inner_->proposal_boxes(delta, rows, pyramids, y); });
  }
  void box_positions(Matrix boxes, int features, Matrix y) override {
    timed("box_positions", [&] { inner_->box_positions(boxes, features, y); });
  }
  void refine_boxes(Matrix delta, Matrix boxes, Matrix y) override {
    timed("refine_boxes", [&] { inner_->refine_boxes(delta, boxes, y); });
  }
  std::size_t arena_mark() const noexcept override { return inner_->arena_mark(); }
  void arena_release(std::size_t mark) noexcept override { inner_->arena_release(mark); }

 private:
  template <class Body>
  void timed(const std::string& name, const Body& body) {
    const auto start = std::chrono::steady_clock::now();
    body();
    const auto end = std::chrono::steady_clock::now();
    OpTime& time = profile_[name];
    time.milliseconds += std::chrono::duration<double, std::milli>(end - start).count();
    ++time.calls;
  }

  std::unique_ptr<Executor> inner_;
  Profile& profile_;
};

}  // namespace

std::unique_ptr<Executor> make_profiler(std::unique_ptr<Executor> inner, Profile& profile) {
  return std::make_unique<Profiler>(std::move(inner), profile);
}

}  // namespace itemcrop::ops
