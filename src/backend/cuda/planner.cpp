#include "backend/cuda/planner.h"

#include "backend/cuda/executor.h"
#include "ops/planner.h"

namespace itemcrop::cuda {
namespace {

using ops::AttentionArgs;
using ops::Constant;
using ops::DeformableArgs;
using ops::FeedForwardWeights;
using ops::FoldedFusionArgs;
using ops::Grid;
using ops::Linear;
using ops::LinearOptions;
using ops::Matrix;
using ops::Norm;
using ops::PixelTransform;
using ops::Pyramid;
using ops::Segment;
using ops::WindowAttentionWeights;
using ops::WindowGeometry;

class Planner final : public ops::Executor {
 public:
  explicit Planner(const std::shared_ptr<const DeviceState>& device)
      : checks_(ops::make_planner(device->activation)),
        memory_(device, CudaExecutor::Rehearsal{}) {}

  Matrix allocate(std::int64_t rows, std::int64_t cols, DType dtype) override {
    return memory_.allocate(rows, cols, dtype);
  }
  std::size_t peak_bytes() const noexcept override { return memory_.peak_bytes(); }
  DType activation_dtype() const noexcept override { return memory_.activation_dtype(); }
  void upload(const float* host, Matrix y) override {
    checks_->upload(host, y);
    memory_.upload(host, y);
  }
  void download(Matrix x, float* host) override {
    checks_->download(x, host);
    memory_.download(x, host);
  }
  void upload_indices(std::span<const std::int32_t> host, Matrix y) override {
    checks_->upload_indices(host, y);
    memory_.upload_indices(host, y);
  }
  void download_indices(Matrix x, std::int32_t* host) override {
    checks_->download_indices(x, host);
    memory_.download_indices(x, host);
  }
  void image_patches(const ImageView& image, const PixelTransform& transform, Matrix y) override {
    checks_->image_patches(image, transform, y);
    memory_.image_patches(image, transform, y);
  }
  void window_attention(Matrix x, std::span<const Grid> grids, const WindowGeometry& geometry,
                        const WindowAttentionWeights& weights) override {
    checks_->window_attention(x, grids, geometry, weights);
    memory_.window_attention(x, grids, geometry, weights);
  }
  void patch_merge(Matrix x, std::span<const Grid> from, const Norm& norm, const Linear& reduction,
                   Matrix y, std::span<const Grid> to) override {
    checks_->patch_merge(x, from, norm, reduction, y, to);
    memory_.patch_merge(x, from, norm, reduction, y, to);
  }
  void convolve_3x3_stride2(Matrix x, std::span<const Grid> from, const Linear& weight, Matrix y,
                            std::span<const Grid> to) override {
    checks_->convolve_3x3_stride2(x, from, weight, y, to);
    memory_.convolve_3x3_stride2(x, from, weight, y, to);
  }
  void group_norm(Matrix x, std::span<const Segment> from, int groups, const Norm& norm, Matrix y,
                  std::span<const Segment> to) override {
    checks_->group_norm(x, from, groups, norm, y, to);
    memory_.group_norm(x, from, groups, norm, y, to);
  }
  void linear(Matrix x, const Linear& weight, Matrix y, const LinearOptions& options) override {
    checks_->linear(x, weight, y, options);
    memory_.linear(x, weight, y, options);
  }
  void feed_forward(Matrix x, const FeedForwardWeights& weights, const Norm* norm_before,
                    const Norm* norm_after, Matrix y) override {
    checks_->feed_forward(x, weights, norm_before, norm_after, y);
    memory_.feed_forward(x, weights, norm_before, norm_after, y);
  }
  void layer_norm(Matrix x, const Norm& norm, Matrix y) override {
    checks_->layer_norm(x, norm, y);
    memory_.layer_norm(x, norm, y);
  }
  void attention(const AttentionArgs& args, Matrix y) override {
    checks_->attention(args, y);
    memory_.attention(args, y);
  }
  void add(Matrix a, Matrix b, Matrix y) override {
    checks_->add(a, b, y);
    memory_.add(a, b, y);
  }
  void add_scaled(Matrix a, const Constant& scale, Matrix b, Matrix y) override {
    checks_->add_scaled(a, scale, b, y);
    memory_.add_scaled(a, scale, b, y);
  }
  void copy(Matrix x, Matrix y) override {
    checks_->copy(x, y);
    memory_.copy(x, y);
  }
  void assign(const Constant& table, Matrix y) override {
    checks_->assign(table, y);
    memory_.assign(table, y);
  }
  void gather_rows(Matrix x, Matrix indices, Matrix y) override {
    checks_->gather_rows(x, indices, y);
    memory_.gather_rows(x, indices, y);
  }
  void dot_rows(Matrix x, const Constant& vector, Matrix y) override {
    checks_->dot_rows(x, vector, y);
    memory_.dot_rows(x, vector, y);
  }
  void embed_tokens(std::span<const std::int32_t> ids, std::span<const std::int32_t> position_ids,
                    const Constant& words, const Constant& positions, const Constant& types,
                    Matrix y) override {
    checks_->embed_tokens(ids, position_ids, words, positions, types, y);
    memory_.embed_tokens(ids, position_ids, words, positions, types, y);
  }
  void axis_positions(std::span<const Pyramid> pyramids, const Constant& level_embedding,
                      float temperature, Matrix y) override {
    checks_->axis_positions(pyramids, level_embedding, temperature, y);
    memory_.axis_positions(pyramids, level_embedding, temperature, y);
  }
  void folded_fusion(const FoldedFusionArgs& args) override {
    checks_->folded_fusion(args);
    memory_.folded_fusion(args);
  }
  void deformable_attention(const DeformableArgs& args) override {
    checks_->deformable_attention(args);
    memory_.deformable_attention(args);
  }
  void mask_proposals(Matrix x, std::span<const Pyramid> pyramids, Matrix y) override {
    checks_->mask_proposals(x, pyramids, y);
    memory_.mask_proposals(x, pyramids, y);
  }
  void similarity(Matrix x, std::span<const Segment> segments, Matrix text,
                  std::span<const Segment> text_segments, Matrix y) override {
    checks_->similarity(x, segments, text, text_segments, y);
    memory_.similarity(x, segments, text, text_segments, y);
  }
  void max_similarity(Matrix x, std::span<const Segment> segments, Matrix text,
                      std::span<const Segment> text_segments, Matrix y) override {
    checks_->max_similarity(x, segments, text, text_segments, y);
    memory_.max_similarity(x, segments, text, text_segments, y);
  }
  void top_k(Matrix scores, std::span<const Segment> segments, std::span<const std::int64_t> counts,
             Matrix y) override {
    checks_->top_k(scores, segments, counts, y);
    memory_.top_k(scores, segments, counts, y);
  }
  void proposal_boxes(Matrix delta, Matrix rows, std::span<const Pyramid> pyramids,
                      Matrix y) override {
    checks_->proposal_boxes(delta, rows, pyramids, y);
    memory_.proposal_boxes(delta, rows, pyramids, y);
  }
  void box_positions(Matrix boxes, int features, Matrix y) override {
    checks_->box_positions(boxes, features, y);
    memory_.box_positions(boxes, features, y);
  }
  void refine_boxes(Matrix delta, Matrix boxes, Matrix y) override {
    checks_->refine_boxes(delta, boxes, y);
    memory_.refine_boxes(delta, boxes, y);
  }
  ops::Branch select_branch(ops::Branch branch) noexcept override {
    checks_->select_branch(branch);
    return memory_.select_branch(branch);
  }
  void join() override { memory_.join(); }
  std::size_t arena_mark() const noexcept override { return memory_.arena_mark(); }
  void arena_release(std::size_t mark) noexcept override { memory_.arena_release(mark); }

 private:
  std::unique_ptr<ops::Executor> checks_;
  CudaExecutor memory_;
};

}  // namespace

std::unique_ptr<ops::Executor> make_cuda_planner(std::shared_ptr<const DeviceState> device) {
  return std::make_unique<Planner>(device);
}

}  // namespace itemcrop::cuda
