#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "itemcrop/image.h"

#include "ops/profiler.h"
#include "ops/shapes.h"
#include "ops/tensor.h"
#include "ops/weights.h"

/// The ops that the model is made of, and what executes them. An op is a struct of its arguments:
/// its comment is its contract, is_valid() the part of it about shapes, name() what errors and
/// profiles call it. The scalar reference (backend/cpu/reference) defines what every op computes.
///
/// To add one: its struct and its line in ITEMCROP_OPS here, and execute(const ops::X&) in a source
/// of each backend; CONTRIBUTING.md shows a commit that does.
namespace itemcrop::ops {

// --- memory ------------------------------------------------------------------------------------

/// Host fp32, y.rows * y.cols contiguous values, to the backend, converted if y is not fp32.
struct Upload {
  const float* host;
  Matrix y;

  const char* name() const { return "upload"; }
  bool is_valid() const { return is_floating(y); }
};

/// x to host fp32, x.rows * x.cols contiguous values. Waits for all ops before it.
struct Download {
  Matrix x;
  float* host;

  const char* name() const { return "download"; }
  bool is_valid() const { return is_floating(x); }
};

struct UploadIndices {
  std::span<const std::int32_t> host;
  Matrix y;  ///< kI32 [n, 1]

  const char* name() const { return "upload_indices"; }
  bool is_valid() const { return is_indices(y, static_cast<std::int64_t>(host.size())); }
};

struct DownloadIndices {
  Matrix x;  ///< kI32 [n, 1]
  std::int32_t* host;

  const char* name() const { return "download_indices"; }
  bool is_valid() const { return is_indices(x, x.rows); }
};

/// y = x; dtypes may differ.
struct Copy {
  Matrix x, y;

  const char* name() const { return "copy"; }
  bool is_valid() const { return same_shape(y, x); }
};

/// y = the first y.rows rows of the table.
struct Assign {
  const Constant& table;
  Matrix y;

  const char* name() const { return "assign"; }
  bool is_valid() const { return has_shape(y, y.rows, table.cols()) && y.rows <= table.rows(); }
};

/// y[i] = x[indices[i]].
struct GatherRows {
  Matrix x;
  Matrix indices;  ///< kI32 [y.rows, 1]
  Matrix y;

  const char* name() const { return "gather_rows"; }
  bool is_valid() const { return is_indices(indices, y.rows) && x.cols == y.cols; }
};

// --- images and the backbone -------------------------------------------------------------------

struct PixelTransform {
  int height = 0;       ///< resized height in pixels
  int width = 0;        ///< resized width in pixels
  int patch = 4;        ///< patch edge in pixels; the bottom and right edges are zero-padded
  float scale[3] = {};  ///< value = pixel * scale[c] + shift[c]
  float shift[3] = {};
};

/// PIL-bilinear resize, normalise and cut into patches. y: [ceil(H/p) * ceil(W/p), 3 * p * p],
/// columns ordered channel, row, column as a convolution weight's.
struct ImagePatches {
  ImageView image;
  PixelTransform transform;
  Matrix y;

  const char* name() const { return "image_patches"; }
  bool is_valid() const {
    const auto& [height, width, patch, scale, shift] = transform;
    if (image.pixels == nullptr || image.width < 1 || image.height < 1) return false;
    if (width < 1 || height < 1 || patch < 1) return false;
    const std::int64_t across = (width + patch - 1) / patch;
    const std::int64_t down = (height + patch - 1) / patch;
    return has_shape(y, across * down, std::int64_t{3} * patch * patch);
  }
};

/// x += output(attention(norm(x))) in windows, shifted and padded as in Swin. x: [rows, C].
struct WindowAttention {
  Matrix x;
  std::span<const Grid> grids;
  WindowGeometry geometry;
  const WindowAttentionWeights& weights;

  const char* name() const { return "window_attention"; }
  const LinearWeights& product() const { return *weights.qkv; }
  bool is_valid() const {
    const auto [window, shift, heads] = geometry;
    const std::int64_t offsets = std::int64_t{2} * window - 1;
    return within(grids, x) && window >= 1 && heads >= 1 && x.cols % heads == 0 && shift >= 0 &&
           shift < window && fits(weights.norm, x.cols) && fits(*weights.qkv, x.cols, 3 * x.cols) &&
           fits(*weights.output, x.cols, x.cols) && weights.bias->rows() == offsets * offsets &&
           weights.bias->cols() == heads;
  }
};

/// Swin patch merging: 2x2 neighbours (zero-padded) concatenated in the order (0,0), (1,0), (0,1),
/// (1,1) as (row, column), normalised, reduced 4C -> 2C.
struct PatchMerge {
  Matrix x;
  std::span<const Grid> from;
  const Norm& norm;
  const LinearWeights& reduction;
  Matrix y;
  std::span<const Grid> to;

  const char* name() const { return "patch_merge"; }
  const LinearWeights& product() const { return reduction; }
  bool is_valid() const {
    return are_halved(x, from, y, to) && fits(norm, 4 * x.cols) &&
           fits(reduction, 4 * x.cols, y.cols);
  }
};

/// 3x3 convolution, stride 2, zero padding 1. Weight columns are ordered row, column, channel.
struct Convolve3x3Stride2 {
  Matrix x;
  std::span<const Grid> from;
  const LinearWeights& weight;
  Matrix y;
  std::span<const Grid> to;

  const char* name() const { return "convolve_3x3_stride2"; }
  const LinearWeights& product() const { return weight; }
  bool is_valid() const { return are_halved(x, from, y, to) && fits(weight, 9 * x.cols, y.cols); }
};

/// Group norm over each segment's rows and each group's channels; `to` may lie elsewhere in y.
struct GroupNorm {
  Matrix x;
  std::span<const Segment> from;
  int groups;
  const Norm& norm;
  Matrix y;
  std::span<const Segment> to;

  const char* name() const { return "group_norm"; }
  bool is_valid() const {
    const auto equal_rows = [](const Segment& a, const Segment& b) { return a.rows == b.rows; };
    return within(from, x) && within(to, y) && all_pairs(from, to, equal_rows) &&
           x.cols == y.cols && groups >= 1 && x.cols % groups == 0 && fits(norm, x.cols);
  }
};

// --- everywhere --------------------------------------------------------------------------------

/// The optional parts of Linear.
struct LinearOptions {
  Activation activation = Activation::kNone;
  const Norm* norm_before = nullptr;
  Matrix residual = {};  ///< same shape as y; may be y itself
  const Norm* norm_after = nullptr;
};

/// y = norm_after(activation(norm_before(x) W^T + b) + residual).
struct Linear {
  Matrix x;
  const LinearWeights& weights;
  Matrix y;
  LinearOptions options = {};

  const char* name() const { return "linear"; }
  const LinearWeights& product() const { return weights; }
  bool is_valid() const {
    return is_floating(x) && has_shape(y, x.rows, weights.outputs()) &&
           fits(weights, x.cols, y.cols) && fits(options.norm_before, x.cols) &&
           fits(options.norm_after, y.cols) &&
           (options.residual.empty() || same_shape(options.residual, y));
  }
};

/// y = norm_after(x + down(activation(up(norm_before(x))))), norms optional; y may be x.
struct FeedForward {
  Matrix x;
  const FeedForwardWeights& weights;
  const Norm* norm_before;
  const Norm* norm_after;
  Matrix y;

  const char* name() const { return "feed_forward"; }
  const LinearWeights& product() const { return *weights.up; }
  bool is_valid() const {
    const std::int64_t hidden = weights.up->outputs();
    return same_shape(y, x) && fits(*weights.up, x.cols, hidden) &&
           fits(*weights.down, hidden, x.cols) && fits(norm_before, x.cols) &&
           fits(norm_after, x.cols);
  }
};

/// y = norm(x), row by row; y may be x.
struct LayerNorm {
  Matrix x;
  const Norm& norm;
  Matrix y;

  const char* name() const { return "layer_norm"; }
  bool is_valid() const { return same_shape(y, x) && fits(norm, x.cols); }
};

/// y = softmax(scale * query key^T) value, head by head; heads split the columns evenly.
struct Attention {
  Matrix query, key, value;  ///< key and value have equal rows; all columns divide by heads
  std::span<const Segment> query_segments;
  std::span<const Segment> key_segments;  ///< one for each query segment, not empty
  int heads = 1;
  float scale = 1.0F;
  /// Per row (host memory), or empty; queries and keys are then the same rows. A row attends to
  /// the rows of its segment whose block equals its own.
  std::span<const std::int32_t> blocks = {};
  Matrix y = {};

  const char* name() const { return "attention"; }
  bool is_valid() const {
    const bool has_keys =
        std::ranges::all_of(key_segments, [](const Segment& keys) { return keys.rows >= 1; });
    const bool fits_blocks =
        blocks.empty() ||
        (query.rows == key.rows && static_cast<std::int64_t>(blocks.size()) == query.rows);
    return within(query_segments, query) && within(key_segments, key) &&
           query_segments.size() == key_segments.size() && has_keys && heads >= 1 &&
           query.cols % heads == 0 && key.cols == query.cols && value.cols % heads == 0 &&
           value.rows == key.rows && has_shape(y, query.rows, value.cols) && fits_blocks;
  }
};

/// y = a + b; y may be a or b.
struct Add {
  Matrix a, b, y;

  const char* name() const { return "add"; }
  bool is_valid() const { return same_shape(b, a) && same_shape(y, a); }
};

/// y = a + scale * b, scale one value a column; y may be a or b.
struct AddScaled {
  Matrix a;
  const Constant& scale;
  Matrix b, y;

  const char* name() const { return "add_scaled"; }
  bool is_valid() const { return same_shape(b, a) && same_shape(y, a) && is_row(scale, a.cols); }
};

/// y[i] = x[i] . vector; y: fp32 [rows, 1].
struct DotRows {
  Matrix x;
  const Constant& vector;
  Matrix y;

  const char* name() const { return "dot_rows"; }
  bool is_valid() const { return is_row(vector, x.cols) && is_fp32(y, x.rows, 1); }
};

// --- text --------------------------------------------------------------------------------------

/// y[i] = words[ids[i]] + positions[position_ids[i]] + types[0].
struct EmbedTokens {
  std::span<const std::int32_t> ids;
  std::span<const std::int32_t> position_ids;
  const Constant& words;
  const Constant& positions;
  const Constant& types;
  Matrix y;

  const char* name() const { return "embed_tokens"; }
  bool is_valid() const {
    return has_shape(y, static_cast<std::int64_t>(ids.size()), words.cols()) &&
           position_ids.size() == ids.size() && positions.cols() == words.cols() &&
           types.cols() == words.cols() && all_below(ids, words.rows()) &&
           all_below(position_ids, positions.rows());
  }
};

// --- encoder, decoder and heads ----------------------------------------------------------------

/// Sine positions of the cells of every level plus that level's embedding (DETR, with temperature
/// and 2*pi normalisation), as a table of what rows and columns contribute: the first half of a
/// cell's position depends on its row alone, the second on its column. For each pyramid and each
/// level, y has `height` rows [sine(row) + embedding, 0], then `width` rows
/// [0, sine(column) + embedding]. y: [axis_rows(pyramids) (ops/geometry.h), d].
struct AxisPositions {
  std::span<const Pyramid> pyramids;
  const Constant& level_embedding;  ///< [levels, d]
  float temperature;
  Matrix y;

  const char* name() const { return "axis_positions"; }
  bool is_valid() const {
    const auto has_levels = [&](const Pyramid& pyramid) {
      return static_cast<std::int64_t>(pyramid.levels.size()) == level_embedding.rows() &&
             std::ranges::all_of(pyramid.levels, [](const Grid& level) {
               return level.height >= 1 && level.width >= 1;
             });
    };
    return has_shape(y, axis_rows(pyramids), level_embedding.cols()) && temperature > 0 &&
           y.cols % 4 == 0 && std::ranges::all_of(pyramids, has_levels);
  }
};

/// Both directions of one image's fusion with its text, with the vision-side projections folded
/// into the text (docs/design/model.md, "Two exact savings"). For one sample with N vision rows, T
/// tokens:
///   X = layer_norm(vision); S = X K^T + key_bias          [N, heads * T]
///   vision = X + gamma * (softmax_T(S) V + output_bias)    softmax within each head's T columns
///   context = softmax_N(S)^T X                             [heads * T, d], softmax down columns
struct FoldedFusion {
  Matrix vision;  ///< [N, d], in and out
  std::span<const Segment> vision_segments;
  Matrix keys, key_bias, values;  ///< [heads*T, d], [heads*T, 1], [heads*T, d], fp32
  /// [heads*T, d], out, fp32. Whatever branch the op belongs to, it may be the side branch that
  /// writes this.
  Matrix context;
  std::span<const Segment> folded_segments;  ///< rows of keys..context of each sample
  int heads = 1;
  const Norm* norm = nullptr;
  const Constant* output_bias = nullptr;  ///< [1, d]
  const Constant* gamma = nullptr;        ///< [1, d]

  const char* name() const { return "folded_fusion"; }
  bool is_valid() const {
    const std::int64_t rows = keys.rows;
    const std::int64_t cols = vision.cols;
    const auto is_folded = [&](const Segment& folded) {
      return folded.rows >= heads && folded.rows % heads == 0;
    };
    return within(vision_segments, vision) && within(folded_segments, keys) &&
           vision_segments.size() == folded_segments.size() && heads >= 1 &&
           std::ranges::all_of(folded_segments, is_folded) && is_fp32(keys, rows, cols) &&
           is_fp32(values, rows, cols) && is_fp32(context, rows, cols) &&
           is_fp32(key_bias, rows, 1) && fits(*norm, cols) && output_bias->cols() == cols &&
           gamma->cols() == cols;
  }
};

/// output = layer_norm(query + project(sampled)), where each head samples `points` places of each
/// level of its pyramid around the query's reference (Deformable DETR, eq. 3).
struct DeformableAttention {
  Matrix query;  ///< [Q, d], in; the residual
  /// Added to the query before the sampling projection. Of boxes [Q, d]; of cells the table that
  /// AxisPositions makes of exactly these pyramids: a cell's is its row's plus its column's.
  Matrix position;
  std::span<const Segment> query_segments;  ///< one a pyramid
  /// fp32 [Q, 4] boxes (cx, cy, w, h) in [0, 1]; empty: queries are the pyramid's own cells and
  /// their reference points the cell centres.
  Matrix reference = {};
  Matrix value;  ///< [rows of the pyramids, d], projected
  std::span<const Pyramid> pyramids;
  int heads = 1;
  int points = 4;
  const DeformableWeights* weights = nullptr;
  Matrix output;  ///< [Q, d]; may be query itself

  bool of_cells() const { return reference.empty(); }
  const char* name() const {
    return of_cells() ? "deformable_attention (cells)" : "deformable_attention (queries)";
  }
  bool is_valid() const {
    if (!within(query_segments, query) || !within(pyramids, value) || pyramids.empty())
      return false;
    if (weights == nullptr || heads < 1 || points < 1 || value.cols % heads != 0) return false;
    const std::size_t levels = pyramids.front().levels.size();
    const auto samples = static_cast<std::int64_t>(levels) * heads * points;
    const auto matches = [&](const Segment& queries, const Pyramid& pyramid) {
      return pyramid.levels.size() == levels && (!of_cells() || queries.rows == pyramid.rows());
    };
    return all_pairs(query_segments, pyramids, matches) &&
           has_shape(position, of_cells() ? axis_rows(pyramids) : query.rows, query.cols) &&
           same_shape(output, query) && (of_cells() || is_fp32(reference, query.rows, 4)) &&
           fits(*weights->sampling, query.cols, 3 * samples) &&
           fits(*weights->output, value.cols, query.cols) && fits(weights->norm, query.cols);
  }
};

/// y = x, with rows zeroed whose proposal (cell centre, edge 0.05 * 2^level) leaves (0.01, 0.99).
struct MaskProposals {
  Matrix x;
  std::span<const Pyramid> pyramids;
  Matrix y;

  const char* name() const { return "mask_proposals"; }
  bool is_valid() const { return within(pyramids, x) && same_shape(y, x); }
};

/// logits[q, t] = scale * (x[q] . text[t]) + bias within each segment pair.
struct SimilarityArgs {
  Matrix x;
  std::span<const Segment> segments;
  Matrix text;                             ///< as wide as x
  std::span<const Segment> text_segments;  ///< one for each segment of x, not empty
  float scale = 1.0F;                      ///< > 0
  float bias = 0.0F;

  bool are_valid() const { return scale > 0 && are_paired(x, segments, text, text_segments); }
};

/// y = logits, fp32 [rows, >= widest text]; columns past a segment's own tokens are set to -inf.
struct Similarity {
  SimilarityArgs args;
  Matrix y;

  const char* name() const { return "similarity"; }
  bool is_valid() const {
    const auto has_columns = [&](const Segment& tokens) { return y.cols >= tokens.rows; };
    return args.are_valid() && is_fp32(y, args.x.rows, y.cols) &&
           std::ranges::all_of(args.text_segments, has_columns);
  }
};

/// y[q] = max over the tokens of logits[q]; y: fp32 [rows, 1].
struct MaxSimilarity {
  SimilarityArgs args;
  Matrix y;

  const char* name() const { return "max_similarity"; }
  bool is_valid() const { return args.are_valid() && is_fp32(y, args.x.rows, 1); }
};

/// For each segment the rows of the `counts[i]` highest scores, as row numbers of the whole matrix,
/// best first, ties by lower row. y: kI32 [sum of counts, 1].
struct TopK {
  Matrix scores;  ///< fp32 [rows, 1]
  std::span<const Segment> segments;
  std::span<const std::int64_t> counts;
  Matrix y;

  const char* name() const { return "top_k"; }
  bool is_valid() const {
    std::int64_t total = 0;
    for (const std::int64_t count : counts) total += count;
    const auto has_rows = [](const Segment& segment, std::int64_t count) {
      return count >= 1 && count <= segment.rows;
    };
    return is_fp32(scores, scores.rows, 1) && within(segments, scores) &&
           all_pairs(segments, counts, has_rows) && is_indices(y, total);
  }
};

/// y[i] = sigmoid(delta[i] + logit(proposal of row rows[i])); a masked proposal gives 1. fp32 [n,
/// 4].
struct ProposalBoxes {
  Matrix delta;
  Matrix rows;  ///< kI32 [n, 1]
  std::span<const Pyramid> pyramids;
  Matrix y;

  const char* name() const { return "proposal_boxes"; }
  bool is_valid() const {
    return !pyramids.empty() && is_fp32(delta, y.rows, 4) && is_fp32(y, y.rows, 4) &&
           is_indices(rows, y.rows);
  }
};

/// Sine embedding of boxes (cx, cy, w, h): y: [n, 4 * features], order cy, cx, w, h,
/// temperature 10000.
struct BoxPositions {
  Matrix boxes;  ///< fp32 [n, 4]
  int features;  ///< even
  Matrix y;

  const char* name() const { return "box_positions"; }
  bool is_valid() const {
    return is_fp32(boxes, y.rows, 4) && features >= 2 && features % 2 == 0 &&
           has_shape(y, boxes.rows, std::int64_t{4} * features);
  }
};

/// y = sigmoid(delta + logit(clamp(boxes, 1e-5, 1 - 1e-5))); fp32 [n, 4]; y may be boxes.
struct RefineBoxes {
  Matrix delta, boxes, y;

  const char* name() const { return "refine_boxes"; }
  bool is_valid() const {
    return is_fp32(delta, y.rows, 4) && is_fp32(boxes, y.rows, 4) && is_fp32(y, y.rows, 4);
  }
};

/// Every op, once: OP(Upload) OP(Download) and so on. What is declared for each op is declared by
/// this list, so that an op that a backend lacks does not link.
// clang-format off
#define ITEMCROP_OPS(OP) \
  OP(Upload) \
  OP(Download) \
  OP(UploadIndices) \
  OP(DownloadIndices) \
  OP(Copy) \
  OP(Assign) \
  OP(GatherRows) \
  OP(ImagePatches) \
  OP(WindowAttention) \
  OP(PatchMerge) \
  OP(Convolve3x3Stride2) \
  OP(GroupNorm) \
  OP(Linear) \
  OP(FeedForward) \
  OP(LayerNorm) \
  OP(Attention) \
  OP(Add) \
  OP(AddScaled) \
  OP(DotRows) \
  OP(EmbedTokens) \
  OP(AxisPositions) \
  OP(FoldedFusion) \
  OP(DeformableAttention) \
  OP(MaskProposals) \
  OP(Similarity) \
  OP(MaxSimilarity) \
  OP(TopK) \
  OP(ProposalBoxes) \
  OP(BoxPositions) \
  OP(RefineBoxes)
// clang-format on

/// In the class of a backend's executor: declares how it executes an op.
#define ITEMCROP_DECLARE_EXECUTE(Op) void execute(const ops::Op& op) override;

// --- executors ---------------------------------------------------------------------------------

/// Work of the side branch may run beside that of the main one. It sees what the main branch did
/// before the first op of the side branch since join(); the main branch sees what the side branch
/// did when join() has been called. What the side branch writes must be allocated in it, or be left
/// alone by the main branch in between.
enum class Branch : std::uint8_t { kMain, kSide };

/// One call's worth of work on one device: an arena for activations, and the ops. Not thread-safe;
/// a call owns one. Work is asynchronous until Download; host spans of an op are copied before
/// run() returns.
///
/// Every call runs the model on a planner (ops/planner.h) first, which checks each op's shapes and
/// sizes the arena; so executors that compute need not check again.
///
/// Results are batch-invariant: rows of one sample are computed alike whatever else is in the
/// batch.
class Executor {
 public:
  Executor() = default;
  virtual ~Executor() = default;
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;

  /// What every op goes through. What an op takes from the arena for itself ends with it. Throws
  /// Error(kInternal) that names the op if shapes are checked and break its contract.
  template <class Op>
  void run(const Op& op);

  void upload(const float* host, Matrix y) { run(Upload{host, y}); }
  void download(Matrix x, float* host) { run(Download{x, host}); }
  void upload_indices(std::span<const std::int32_t> host, Matrix y) { run(UploadIndices{host, y}); }
  void download_indices(Matrix x, std::int32_t* host) { run(DownloadIndices{x, host}); }

  /// Uninitialised; lives until the enclosing ArenaScope ends. Throws Error(kOutOfMemory).
  virtual Matrix allocate(std::int64_t rows, std::int64_t cols, DType dtype) = 0;
  Matrix allocate(std::int64_t rows, std::int64_t cols) {
    return allocate(rows, cols, activation_dtype());
  }
  /// Highest number of arena bytes in use so far.
  virtual std::size_t peak_bytes() const noexcept = 0;
  /// What the backend keeps activations in.
  virtual DType activation_dtype() const noexcept = 0;

  /// Where ops and memory belong from here on; returns where they belonged. An executor that does
  /// one thing after another has nothing to do.
  virtual Branch select_branch(Branch /*branch*/) noexcept { return Branch::kMain; }
  virtual void join() {}

  /// Tells `profiler` of every op from here on; null: nobody. It must outlive the executor.
  void set_profiler(Profiler* profiler) noexcept { profiler_ = profiler; }

  /// For ArenaScope.
  virtual std::size_t arena_mark() const noexcept = 0;
  virtual void arena_release(std::size_t mark) noexcept = 0;

 protected:
  /// From here on, ops whose shapes break their contract are refused.
  void check_shapes() noexcept { checks_shapes_ = true; }
  Profiler* profiler() const noexcept { return profiler_; }

 private:
#define ITEMCROP_PURE_EXECUTE(Op) virtual void execute(const Op& op) = 0;
  ITEMCROP_OPS(ITEMCROP_PURE_EXECUTE)
#undef ITEMCROP_PURE_EXECUTE

  bool checks_shapes_ = false;
  Profiler* profiler_ = nullptr;
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

/// Throws Error(kInternal).
[[noreturn]] void throw_broken_contract(const char* op);

template <class Op>
void Executor::run(const Op& op) {
  if (checks_shapes_ && !op.is_valid()) throw_broken_contract(op.name());
  const ArenaScope scope(*this);
  if (profiler_ == nullptr) return execute(op);
  const LinearWeights* product = nullptr;
  if constexpr (requires { op.product(); }) product = &op.product();
  profiler_->begin(op.name(), product);
  execute(op);
  profiler_->end();
}

}  // namespace itemcrop::ops
