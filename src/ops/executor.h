#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "itemcrop/image.h"

#include "ops/tensor.h"
#include "ops/weights.h"

namespace itemcrop::ops {

/// y = norm_after(activation(norm_before(x) W^T + b) + residual); every part is optional.
struct LinearOptions {
  Activation activation = Activation::kNone;
  const Norm* norm_before = nullptr;
  Matrix residual = {};  ///< same shape as y; may be y itself
  const Norm* norm_after = nullptr;
};

struct PixelTransform {
  int height = 0;       ///< resized height in pixels
  int width = 0;        ///< resized width in pixels
  int patch = 4;        ///< patch edge in pixels; the bottom and right edges are zero-padded
  float scale[3] = {};  ///< value = pixel * scale[c] + shift[c]
  float shift[3] = {};
};

struct WindowGeometry {
  int window = 7;
  int shift = 0;  ///< 0 or window / 2, whatever the map's size (the reference's always_partition)
  int heads = 1;
};

/// softmax(scale * q k^T) v, head by head; heads split the columns evenly.
struct AttentionArgs {
  Matrix query, key, value;  ///< key and value have equal rows; all columns divide by heads
  std::span<const Segment> query_segments;
  std::span<const Segment> key_segments;  ///< one for each query segment
  int heads = 1;
  float scale = 1.0F;
  /// Per row (host memory), or empty; queries and keys are then the same rows. A row attends to
  /// the rows of its segment whose block equals its own.
  std::span<const std::int32_t> blocks = {};
};

/// Both directions of one image's fusion with its text, with the vision-side projections folded
/// into the text (ARCHITECTURE.md, "Folded fusion"). For one sample with N vision rows, T tokens:
///   X = layer_norm(vision); S = X K^T + key_bias          [N, heads * T]
///   vision = X + gamma * (softmax_T(S) V + output_bias)    softmax within each head's T columns
///   context = softmax_N(S)^T X                             [heads * T, d], softmax down columns
struct FoldedFusionArgs {
  Matrix vision;  ///< [N, d], in and out
  std::span<const Segment> vision_segments;
  Matrix keys, key_bias, values;             ///< [heads*T, d], [heads*T, 1], [heads*T, d], fp32
  Matrix context;                            ///< [heads*T, d], out, fp32
  std::span<const Segment> folded_segments;  ///< rows of keys..context of each sample
  int heads = 1;
  const Norm* norm = nullptr;
  const Constant* output_bias = nullptr;  ///< [1, d]
  const Constant* gamma = nullptr;        ///< [1, d]
};

struct DeformableArgs {
  Matrix query;  ///< [Q, d], in; the residual
  /// Added to the query before the sampling projection. Of boxes [Q, d]; of cells the table that
  /// axis_positions makes of exactly these pyramids: a cell's is its row's plus its column's.
  Matrix position;
  std::span<const Segment> query_segments;  ///< one a pyramid
  /// fp32 [Q, 4] boxes (cx, cy, w, h) in [0, 1]; empty: queries are the pyramid's own cells and
  /// their reference points the cell centres.
  Matrix reference;
  Matrix value;  ///< [rows of the pyramids, d], projected
  std::span<const Pyramid> pyramids;
  int heads = 1;
  int points = 4;
  const DeformableWeights* weights = nullptr;
  Matrix output;  ///< [Q, d] = layer_norm(query + project(sampled)); may be query itself
};

/// Work of the side branch may run beside that of the main one. It sees what the main branch did
/// before the first op of the side branch since join(); the main branch sees what the side branch
/// did when join() has been called. What the side branch writes must be allocated in it, or be left
/// alone by the main branch in between.
enum class Branch : std::uint8_t { kMain, kSide };

/// One call's worth of work on one device: an arena for activations and every op of the model.
/// Not thread-safe; a call owns one. Work is asynchronous until download(); host spans passed to
/// an op are copied before it returns.
///
/// Every call runs the model on a Planner (ops/planner.h) first, which checks each op's shapes by
/// the contracts below and sizes the arena; so executors that compute need not check again.
///
/// Rows of one sample are computed alike whatever else is in the batch, so an answer does not
/// depend on the company.
class Executor {
 public:
  virtual ~Executor() = default;

  // --- memory ------------------------------------------------------------------------------
  /// Uninitialised; lives until the enclosing ArenaScope ends. Throws Error(kOutOfMemory).
  virtual Matrix allocate(std::int64_t rows, std::int64_t cols, DType dtype) = 0;
  /// Highest number of arena bytes in use so far.
  virtual std::size_t peak_bytes() const noexcept = 0;
  /// What the backend keeps activations in.
  virtual DType activation_dtype() const noexcept = 0;
  Matrix allocate(std::int64_t rows, std::int64_t cols) {
    return allocate(rows, cols, activation_dtype());
  }

  /// Host fp32, rows * cols contiguous values, to the backend and back (converted if y is not
  /// fp32).
  virtual void upload(const float* host, Matrix y) = 0;
  virtual void download(Matrix x, float* host) = 0;
  virtual void upload_indices(std::span<const std::int32_t> host,
                              Matrix y) = 0;  ///< y: kI32 [n, 1]
  virtual void download_indices(Matrix x, std::int32_t* host) = 0;

  // --- pictures and the backbone -------------------------------------------------------------
  /// PIL-bilinear resize, normalise and cut into patches. y: [ceil(H/p) * ceil(W/p), 3 * p * p],
  /// columns ordered channel, row, column as a convolution weight's.
  virtual void image_patches(const ImageView& image, const PixelTransform& transform, Matrix y) = 0;
  /// x += output(attention(norm(x))) in windows, shifted and padded as in Swin. x: [rows, C].
  virtual void window_attention(Matrix x, std::span<const Grid> grids,
                                const WindowGeometry& geometry,
                                const WindowAttentionWeights& weights) = 0;
  /// Swin patch merging: 2x2 neighbours (zero-padded) concatenated in the order (0,0), (1,0),
  /// (0,1), (1,1) as (row, column), normalised, reduced 4C -> 2C.
  virtual void patch_merge(Matrix x, std::span<const Grid> from, const Norm& norm,
                           const Linear& reduction, Matrix y, std::span<const Grid> to) = 0;
  /// 3x3 convolution, stride 2, zero padding 1. Weight columns are ordered row, column, channel.
  virtual void convolve_3x3_stride2(Matrix x, std::span<const Grid> from, const Linear& weight,
                                    Matrix y, std::span<const Grid> to) = 0;
  /// Group norm over each segment's rows and each group's channels; `to` may lie elsewhere in y.
  virtual void group_norm(Matrix x, std::span<const Segment> from, int groups, const Norm& norm,
                          Matrix y, std::span<const Segment> to) = 0;

  // --- everywhere ----------------------------------------------------------------------------
  virtual void linear(Matrix x, const Linear& weight, Matrix y, const LinearOptions& options) = 0;
  void linear(Matrix x, const Linear& weight, Matrix y) { linear(x, weight, y, LinearOptions{}); }
  /// y = norm_after(x + down(activation(up(norm_before(x))))), norms optional; y may be x.
  virtual void feed_forward(Matrix x, const FeedForwardWeights& weights, const Norm* norm_before,
                            const Norm* norm_after, Matrix y) = 0;
  virtual void layer_norm(Matrix x, const Norm& norm, Matrix y) = 0;  ///< y may be x
  virtual void attention(const AttentionArgs& args, Matrix y) = 0;
  virtual void add(Matrix a, Matrix b, Matrix y) = 0;  ///< y = a + b; y may be a or b
  /// y = a + scale * b, scale one value a column; y may be a or b.
  virtual void add_scaled(Matrix a, const Constant& scale, Matrix b, Matrix y) = 0;
  virtual void copy(Matrix x, Matrix y) = 0;  ///< dtypes may differ
  /// y = the first y.rows rows of the table.
  virtual void assign(const Constant& table, Matrix y) = 0;
  virtual void gather_rows(Matrix x, Matrix indices, Matrix y) = 0;       ///< indices: kI32 [n, 1]
  virtual void dot_rows(Matrix x, const Constant& vector, Matrix y) = 0;  ///< y: fp32 [rows, 1]

  // --- text ----------------------------------------------------------------------------------
  /// y[i] = words[ids[i]] + positions[position_ids[i]] + types[0].
  virtual void embed_tokens(std::span<const std::int32_t> ids,
                            std::span<const std::int32_t> position_ids, const Constant& words,
                            const Constant& positions, const Constant& types, Matrix y) = 0;

  // --- encoder, decoder and heads ------------------------------------------------------------
  /// Sine positions of the cells of every level plus that level's embedding (DETR, with temperature
  /// and 2*pi normalisation), as a table of what rows and columns contribute: the first half of a
  /// cell's position depends on its row alone, the second on its column. For each pyramid and each
  /// level, y has `height` rows [sine(row) + embedding, 0], then `width` rows
  /// [0, sine(column) + embedding]. y: [axis_rows(pyramids) (ops/geometry.h), d];
  /// level_embedding: [levels, d].
  virtual void axis_positions(std::span<const Pyramid> pyramids, const Constant& level_embedding,
                              float temperature, Matrix y) = 0;
  virtual void folded_fusion(const FoldedFusionArgs& args) = 0;
  virtual void deformable_attention(const DeformableArgs& args) = 0;
  /// y = x, with rows zeroed whose proposal (cell centre, edge 0.05 * 2^level) leaves (0.01, 0.99).
  virtual void mask_proposals(Matrix x, std::span<const Pyramid> pyramids, Matrix y) = 0;
  /// logits[q, t] = x[q] . text[t] within each segment pair; y: fp32 [rows, >= widest text];
  /// columns past a segment's own tokens are set to -inf.
  virtual void similarity(Matrix x, std::span<const Segment> segments, Matrix text,
                          std::span<const Segment> text_segments, Matrix y) = 0;
  /// y[q] = max over the tokens of similarity; y: fp32 [rows, 1].
  virtual void max_similarity(Matrix x, std::span<const Segment> segments, Matrix text,
                              std::span<const Segment> text_segments, Matrix y) = 0;
  /// For each segment the rows of the `counts[i]` highest scores, as row numbers of the whole
  /// matrix, best first, ties by lower row. y: kI32 [sum of counts, 1].
  virtual void top_k(Matrix scores, std::span<const Segment> segments,
                     std::span<const std::int64_t> counts, Matrix y) = 0;
  /// y = sigmoid(delta + logit(proposal of row rows[i])); a masked proposal gives 1. fp32 [n, 4].
  virtual void proposal_boxes(Matrix delta, Matrix rows, std::span<const Pyramid> pyramids,
                              Matrix y) = 0;
  /// Sine embedding of boxes (cx, cy, w, h): y: [n, 4 * features], order cy, cx, w, h,
  /// temperature 10000.
  virtual void box_positions(Matrix boxes, int features, Matrix y) = 0;
  /// y = sigmoid(delta + logit(clamp(boxes, 1e-5, 1 - 1e-5))); fp32 [n, 4]; y may be boxes.
  virtual void refine_boxes(Matrix delta, Matrix boxes, Matrix y) = 0;

  // --- branches ------------------------------------------------------------------------------
  /// Where ops and memory belong from here on; returns where they belonged. An executor that does
  /// one thing after another has nothing to do.
  virtual Branch select_branch(Branch /*branch*/) noexcept { return Branch::kMain; }
  virtual void join() {}

  /// For ArenaScope and for executors that wrap another.
  virtual std::size_t arena_mark() const noexcept = 0;
  virtual void arena_release(std::size_t mark) noexcept = 0;
};

/// Frees everything allocated within its life when it ends.
class ArenaScope {
 public:
  explicit ArenaScope(Executor& executor) : executor_(executor), mark_(executor.arena_mark()) {}
  ~ArenaScope() { executor_.arena_release(mark_); }
  ArenaScope(const ArenaScope&) = delete;
  ArenaScope& operator=(const ArenaScope&) = delete;

 private:
  Executor& executor_;
  std::size_t mark_;
};

/// Puts ops in a branch for as long as it lives.
class BranchScope {
 public:
  BranchScope(Executor& executor, Branch branch)
      : executor_(executor), before_(executor.select_branch(branch)) {}
  ~BranchScope() { executor_.select_branch(before_); }
  BranchScope(const BranchScope&) = delete;
  BranchScope& operator=(const BranchScope&) = delete;

 private:
  Executor& executor_;
  Branch before_;
};

}  // namespace itemcrop::ops
