#include "unit/backend/op_runner.h"

#include <functional>
#include <map>
#include <utility>

#include "ops/geometry.h"
#include "unit/backend/op_rig.h"

namespace itemcrop::test {
namespace {

using ops::Grid;
using ops::Matrix;
using ops::Segment;

OpResult run_linear(OpRig& rig) {
  const Matrix x = rig.input("x");
  const ops::LinearWeights& weight = rig.linear("linear");
  const Matrix y = rig.output(x.rows, weight.outputs());
  ops::LinearOptions options;
  options.activation = rig.activation();
  options.norm_before = rig.optional_norm("before");
  options.norm_after = rig.optional_norm("after");
  if (rig.has("residual")) options.residual = rig.input("residual");
  rig.executor().run(ops::Linear{x, weight, y, options});
  return {{"y", rig.download(y)}};
}

OpResult run_feed_forward(OpRig& rig) {
  const Matrix x = rig.input("x");
  const ops::FeedForwardWeights weights{rig.make_linear("up"), rig.make_linear("down"),
                                        rig.activation()};
  const Matrix y = rig.output(x.rows, x.cols);
  rig.executor().run(
      ops::FeedForward{x, weights, rig.optional_norm("before"), rig.optional_norm("after"), y});
  return {{"y", rig.download(y)}};
}

OpResult run_layer_norm(OpRig& rig) {
  const Matrix x = rig.input("x");
  const Matrix y = rig.output(x.rows, x.cols);
  rig.executor().run(ops::LayerNorm{x, *rig.optional_norm("norm"), y});
  return {{"y", rig.download(y)}};
}

OpResult run_group_norm(OpRig& rig) {
  const Matrix x = rig.input("x");
  const std::vector<Segment> from = segments_of(rig.argument("sizes"));
  // The results lie in reverse order, behind a row that stays untouched.
  std::vector<Segment> to = from;
  for (Segment& segment : to) segment.begin = 1 + x.rows - segment.end();
  const Matrix y = rig.output(1 + x.rows, x.cols);
  rig.executor().run(
      ops::GroupNorm{x, from, rig.argument("groups"), *rig.optional_norm("norm"), y, to});
  std::vector<HostMatrix> parts;
  for (const Segment& segment : to) {
    parts.push_back(rig.download(y.row_range(segment.begin, segment.rows)));
  }
  return {{"y", stack(parts)}};
}

OpResult run_add(OpRig& rig) {
  const Matrix a = rig.input("a");
  const Matrix y = rig.output(a.rows, a.cols);
  rig.executor().run(ops::Add{a, rig.input("b"), y});
  return {{"y", rig.download(y)}};
}

OpResult run_add_scaled(OpRig& rig) {
  const Matrix a = rig.input("a");
  const Matrix y = rig.output(a.rows, a.cols);
  rig.executor().run(ops::AddScaled{a, rig.constant("scale"), rig.input("b"), y});
  return {{"y", rig.download(y)}};
}

OpResult run_dot_rows(OpRig& rig) {
  const Matrix x = rig.input("x");
  const Matrix y = rig.exact_output(x.rows, 1);
  rig.executor().run(ops::DotRows{x, rig.constant("vector"), y});
  return {{"y", rig.download(y)}};
}

OpResult run_window_attention(OpRig& rig) {
  const Matrix x = rig.input("x");
  const ops::WindowGeometry geometry{rig.argument("window"), rig.argument("shift"),
                                     rig.argument("heads")};
  const ops::WindowAttentionWeights weights{rig.make_norm("norm"), rig.make_linear("qkv"),
                                            rig.make_linear("output"), rig.make_constant("bias")};
  rig.executor().run(ops::WindowAttention{x, grids_of(rig.argument("grids")), geometry, weights});
  return {{"x", rig.download(x)}};
}

/// Grids of half the size, in reverse order behind an untouched row, as run_group_norm's.
std::vector<Grid> halved(const std::vector<Grid>& from) {
  std::vector<Grid> to(from.size());
  std::int64_t begin = 1;
  for (std::size_t i = from.size(); i-- > 0;) {
    to[i] = {begin, (from[i].height + 1) / 2, (from[i].width + 1) / 2};
    begin += to[i].rows();
  }
  return to;
}

OpResult run_halving(OpRig& rig, std::int64_t outputs,
                     const std::function<void(Matrix, const std::vector<Grid>&, Matrix,
                                              const std::vector<Grid>&)>& op) {
  const Matrix x = rig.input("x");
  const std::vector<Grid> from = grids_of(rig.argument("grids"));
  const std::vector<Grid> to = halved(from);
  const Matrix y = rig.output(to.front().begin + to.front().rows(), outputs);
  op(x, from, y, to);
  std::vector<HostMatrix> parts;
  for (const Grid& grid : to) parts.push_back(rig.download(y.row_range(grid.begin, grid.rows())));
  return {{"y", stack(parts)}};
}

OpResult run_patch_merge(OpRig& rig) {
  const ops::LinearWeights& reduction = rig.linear("reduction");
  return run_halving(
      rig, reduction.outputs(),
      [&](Matrix x, const std::vector<Grid>& from, Matrix y, const std::vector<Grid>& to) {
        rig.executor().run(ops::PatchMerge{x, from, *rig.optional_norm("norm"), reduction, y, to});
      });
}

OpResult run_convolve(OpRig& rig) {
  const ops::LinearWeights& weight = rig.linear("weight");
  return run_halving(
      rig, weight.outputs(),
      [&](Matrix x, const std::vector<Grid>& from, Matrix y, const std::vector<Grid>& to) {
        rig.executor().run(ops::Convolve3x3Stride2{x, from, weight, y, to});
      });
}

OpResult run_image_patches(OpRig& rig) {
  const HostMatrix& image = rig.host("image");
  const std::vector<std::uint8_t> pixels(image.values.begin(), image.values.end());
  ops::PixelTransform transform;
  transform.width = rig.argument("width");
  transform.height = rig.argument("height");
  transform.patch = rig.argument("patch");
  for (std::size_t c = 0; c < 3; ++c) {
    transform.scale[c] = rig.argument("scale").at(c);
    transform.shift[c] = rig.argument("shift").at(c);
  }
  const int patch = transform.patch;
  const Matrix y = rig.output(((transform.height + patch - 1) / patch) *
                                  static_cast<std::int64_t>((transform.width + patch - 1) / patch),
                              3 * patch * patch);
  rig.executor().run(ops::ImagePatches{
      {pixels.data(), static_cast<int>(image.cols / 3), static_cast<int>(image.rows), 0},
      transform,
      y});
  return {{"y", rig.download(y)}};
}

OpResult run_attention(OpRig& rig) {
  ops::Attention args;
  args.query = rig.input("query");
  args.key = rig.input("key");
  args.value = rig.input("value");
  const std::vector<Segment> queries = segments_of(rig.argument("query_sizes"));
  const std::vector<Segment> keys = segments_of(rig.argument("key_sizes"));
  std::vector<std::int32_t> blocks;
  rig.argument("blocks").get_to(blocks);
  args.query_segments = queries;
  args.key_segments = keys;
  args.heads = rig.argument("heads");
  args.scale = rig.argument("scale");
  args.blocks = blocks;
  args.y = rig.output(args.query.rows, args.value.cols);
  rig.executor().run(args);
  return {{"y", rig.download(args.y)}};
}

OpResult run_embed_tokens(OpRig& rig) {
  const auto ids = rig.argument("ids").get<std::vector<std::int32_t>>();
  const auto position_ids = rig.argument("position_ids").get<std::vector<std::int32_t>>();
  const ops::Constant& words = rig.constant("words");
  const Matrix y = rig.output(static_cast<std::int64_t>(ids.size()), words.cols());
  rig.executor().run(ops::EmbedTokens{ids, position_ids, words, rig.constant("positions"),
                                      rig.constant("types"), y});
  return {{"y", rig.download(y)}};
}

OpResult run_folded_fusion(OpRig& rig) {
  ops::FoldedFusion args;
  args.vision = rig.input("vision");
  args.keys = rig.exact_input("keys");
  args.key_bias = rig.exact_input("key_bias");
  args.values = rig.exact_input("values");
  args.context = rig.exact_output(args.keys.rows, args.vision.cols);
  const std::vector<Segment> vision = segments_of(rig.argument("sizes"));
  const std::vector<Segment> folded = segments_of(rig.argument("folded_sizes"));
  args.vision_segments = vision;
  args.folded_segments = folded;
  args.heads = rig.argument("heads");
  args.norm = rig.optional_norm("norm");
  args.output_bias = &rig.constant("output_bias");
  args.gamma = &rig.constant("gamma");
  rig.executor().run(args);
  return {{"vision", rig.download(args.vision)}, {"context", rig.download(args.context)}};
}

OpResult run_deformable_attention(OpRig& rig) {
  const ops::DeformableWeights weights{rig.make_linear("sampling"), rig.make_linear("output"),
                                       rig.make_norm("norm")};
  ops::DeformableAttention args;
  args.query = rig.input("query");
  args.position = rig.input("position");
  args.value = rig.input("value");
  if (rig.has("reference")) args.reference = rig.exact_input("reference");
  const std::vector<Segment> queries = segments_of(rig.argument("query_sizes"));
  const std::vector<ops::Pyramid> pyramids = pyramids_of(rig.argument("pyramids"));
  args.query_segments = queries;
  args.pyramids = pyramids;
  args.heads = rig.argument("heads");
  args.points = rig.argument("points");
  args.weights = &weights;
  args.output = rig.output(args.query.rows, args.query.cols);
  rig.executor().run(args);
  return {{"y", rig.download(args.output)}};
}

OpResult run_axis_positions(OpRig& rig) {
  const std::vector<ops::Pyramid> pyramids = pyramids_of(rig.argument("pyramids"));
  const ops::Constant& embedding = rig.constant("level_embedding");
  const Matrix y = rig.output(ops::axis_rows(pyramids), embedding.cols());
  rig.executor().run(ops::AxisPositions{pyramids, embedding, rig.argument("temperature"), y});
  return {{"y", rig.download(y)}};
}

OpResult run_box_positions(OpRig& rig) {
  const Matrix boxes = rig.exact_input("boxes");
  const int features = rig.argument("features");
  const Matrix y = rig.output(boxes.rows, 4 * features);
  rig.executor().run(ops::BoxPositions{boxes, features, y});
  return {{"y", rig.download(y)}};
}

OpResult run_mask_proposals(OpRig& rig) {
  const Matrix x = rig.input("x");
  const Matrix y = rig.output(x.rows, x.cols);
  rig.executor().run(ops::MaskProposals{x, pyramids_of(rig.argument("pyramids")), y});
  return {{"y", rig.download(y)}};
}

OpResult run_proposal_boxes(OpRig& rig) {
  const Matrix delta = rig.exact_input("delta");
  const Matrix rows = rig.indices(rig.argument("rows"));
  const Matrix y = rig.exact_output(delta.rows, 4);
  rig.executor().run(ops::ProposalBoxes{delta, rows, pyramids_of(rig.argument("pyramids")), y});
  return {{"y", rig.download(y)}};
}

OpResult run_refine_boxes(OpRig& rig) {
  const Matrix delta = rig.exact_input("delta");
  const Matrix y = rig.exact_output(delta.rows, 4);
  rig.executor().run(ops::RefineBoxes{delta, rig.exact_input("boxes"), y});
  return {{"y", rig.download(y)}};
}

/// The arguments of both similarities and what they borrow.
class SimilarityInput {
 public:
  SimilarityInput(OpRig& rig, Matrix x)
      : x_(x),
        text_(rig.input("text")),
        segments_(segments_of(rig.argument("sizes"))),
        text_segments_(segments_of(rig.argument("text_sizes"))),
        scale_(rig.argument("scale")),
        bias_(rig.argument("bias")) {}

  ops::SimilarityArgs args() const {
    return {.x = x_,
            .segments = segments_,
            .text = text_,
            .text_segments = text_segments_,
            .scale = scale_,
            .bias = bias_};
  }

 private:
  Matrix x_, text_;
  std::vector<ops::Segment> segments_, text_segments_;
  float scale_, bias_;
};

OpResult run_similarity(OpRig& rig) {
  const Matrix x = rig.input("x");
  const Matrix y = rig.exact_output(x.rows, rig.argument("columns"));
  const SimilarityInput input(rig, x);
  rig.executor().run(ops::Similarity{input.args(), y});
  return {{"y", rig.download(y)}};
}

OpResult run_max_similarity(OpRig& rig) {
  const Matrix x = rig.input("x");
  const Matrix y = rig.exact_output(x.rows, 1);
  const SimilarityInput input(rig, x);
  rig.executor().run(ops::MaxSimilarity{input.args(), y});
  return {{"y", rig.download(y)}};
}

OpResult run_top_k(OpRig& rig) {
  const auto counts = rig.argument("counts").get<std::vector<std::int64_t>>();
  std::int64_t total = 0;
  for (const std::int64_t count : counts) total += count;
  const Matrix y = rig.indices(std::vector<std::int32_t>(static_cast<std::size_t>(total), -1));
  rig.executor().run(
      ops::TopK{rig.exact_input("scores"), segments_of(rig.argument("sizes")), counts, y});
  return {{"y", rig.download_indices(y)}};
}

OpResult run_gather_rows(OpRig& rig) {
  const Matrix x = rig.input("x");
  const Matrix indices = rig.indices(rig.argument("rows"));
  const Matrix y = rig.output(indices.rows, x.cols);
  rig.executor().run(ops::GatherRows{x, indices, y});
  return {{"y", rig.download(y)}};
}

const std::map<std::string, OpResult (*)(OpRig&)>& runners() {
  static const std::map<std::string, OpResult (*)(OpRig&)> table = {
      {"add", run_add},
      {"add_scaled", run_add_scaled},
      {"attention", run_attention},
      {"axis_positions", run_axis_positions},
      {"box_positions", run_box_positions},
      {"convolve_3x3_stride2", run_convolve},
      {"deformable_attention", run_deformable_attention},
      {"dot_rows", run_dot_rows},
      {"embed_tokens", run_embed_tokens},
      {"feed_forward", run_feed_forward},
      {"folded_fusion", run_folded_fusion},
      {"gather_rows", run_gather_rows},
      {"group_norm", run_group_norm},
      {"image_patches", run_image_patches},
      {"layer_norm", run_layer_norm},
      {"linear", run_linear},
      {"mask_proposals", run_mask_proposals},
      {"max_similarity", run_max_similarity},
      {"patch_merge", run_patch_merge},
      {"proposal_boxes", run_proposal_boxes},
      {"refine_boxes", run_refine_boxes},
      {"similarity", run_similarity},
      {"top_k", run_top_k},
      {"window_attention", run_window_attention},
  };
  return table;
}

}  // namespace

OpResult run_case(const OpCase& op_case, const ops::Backend& backend, int threads,
                  std::size_t* peak_bytes) {
  OpRig rig(backend, threads, op_case);
  OpResult result = runners().at(op_case.op)(rig);
  rig.check_guards();
  if (peak_bytes != nullptr) *peak_bytes = rig.executor().peak_bytes();
  return result;
}

}  // namespace itemcrop::test
