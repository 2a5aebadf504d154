#include "unit/backend/random_cases.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "ops/geometry.h"
#include "unit/backend/op_rig.h"
#include "unit/backend/random.h"

namespace itemcrop::test {
namespace {

using Samples = std::vector<Random>;

/// One sample's rows of several matrices, collected into the case's inputs.
class Inputs {
 public:
  void add(const std::string& name, HostMatrix matrix) {
    parts_[name].push_back(std::move(matrix));
  }
  void store(OpCase& op_case) const {
    for (const auto& [name, parts] : parts_) op_case.inputs[name] = stack(parts);
  }

 private:
  std::map<std::string, std::vector<HostMatrix>> parts_;
};

/// Maps so wide have cells whose centres are too near the edge for a proposal.
constexpr int kWideMap = 120;

int channels(Random& random) { return random.one_of({1, 3, 8, 17, 31, 32, 48, 64, 96}); }
/// For norms of rounded values: normalising few channels magnifies rounding without bound.
int many_channels(Random& random) { return random.one_of({17, 31, 32, 48, 64, 96}); }

/// Weights that turn values around 1 into values around `gain`.
void add_linear(OpCase& c, Random& random, const std::string& name, int inputs, int outputs,
                bool bias = true, float gain = 1.0F) {
  c.inputs[name + ".weight"] =
      random.matrix(outputs, inputs, gain / std::sqrt(static_cast<float>(inputs)));
  if (bias) c.inputs[name + ".bias"] = random.matrix(1, outputs, 0.5F);
}

void add_norm(OpCase& c, Random& random, const std::string& name, int width) {
  c.inputs[name + ".weight"] = random.matrix(1, width, 0.2F, 1.0F);
  c.inputs[name + ".bias"] = random.matrix(1, width, 0.2F);
  c.arguments[name + ".epsilon"] = 1e-5;
}

/// Rows of one matrix, with the samples' sizes in the argument "sizes".
void add_rows(OpCase& c, Samples& samples, const std::string& name, int cols) {
  Inputs inputs;
  c.arguments["sizes"] = nlohmann::json::array();
  for (Random& sample : samples) {
    const int rows = sample.rows();
    c.arguments["sizes"].push_back(rows);
    inputs.add(name, sample.matrix(rows, cols));
  }
  inputs.store(c);
}

void add_grids(OpCase& c, Samples& samples, int cols, int largest) {
  Inputs inputs;
  c.arguments["grids"] = nlohmann::json::array();
  for (Random& sample : samples) {
    const int height = sample.between(1, largest);
    const int width = sample.between(1, largest);
    c.arguments["grids"].push_back({height, width});
    inputs.add("x", sample.matrix(static_cast<std::int64_t>(height) * width, cols));
  }
  inputs.store(c);
}

/// Rows of the axis table of the pyramid drawn last.
std::int64_t last_axis_rows(const OpCase& c) {
  const std::vector<ops::Pyramid> pyramids = pyramids_of(c.arguments.at("pyramids"));
  return ops::axis_rows(std::span(pyramids).last(1));
}

/// Draws one sample's levels, some of them up to `longest` wide; returns its rows.
std::int64_t add_pyramid(OpCase& c, Random& sample, int levels, int longest) {
  nlohmann::json pyramid = nlohmann::json::array();
  std::int64_t rows = 0;
  for (int level = 0; level < levels; ++level) {
    const int height = sample.between(1, 12);
    const int width = sample.one_of({sample.between(1, 12), sample.between(12, longest)});
    pyramid.push_back({height, width});
    rows += static_cast<std::int64_t>(height) * width;
  }
  c.arguments["pyramids"].push_back(pyramid);
  return rows;
}

void draw_linear(OpCase& c, Random& shared, Samples& samples) {
  const int inputs = channels(shared);
  const int outputs = shared.one_of({1, 4, 19, 64, 130, 256});
  add_rows(c, samples, "x", inputs);
  add_linear(c, shared, "linear", inputs, outputs, shared.between(0, 3) != 0);
  c.arguments["activation"] = shared.one_of<const char*>({"none", "relu", "gelu"});
  if (inputs >= 17 && shared.between(0, 1) == 1) add_norm(c, shared, "before", inputs);
  if (outputs >= 17 && shared.between(0, 1) == 1) add_norm(c, shared, "after", outputs);
  if (shared.between(0, 1) == 1) {
    Inputs residual;
    for (std::size_t i = 0; i < samples.size(); ++i) {
      residual.add("residual", samples[i].matrix(c.arguments["sizes"][i], outputs));
    }
    residual.store(c);
  }
}

void draw_feed_forward(OpCase& c, Random& shared, Samples& samples) {
  const int width = many_channels(shared);
  const int hidden = shared.one_of({5, 40, 128, 200});
  add_rows(c, samples, "x", width);
  add_linear(c, shared, "up", width, hidden);
  add_linear(c, shared, "down", hidden, width);
  c.arguments["activation"] = shared.one_of<const char*>({"relu", "gelu"});
  add_norm(c, shared, shared.one_of<const char*>({"before", "after"}), width);
}

void draw_layer_norm(OpCase& c, Random& shared, Samples& samples) {
  const int width = many_channels(shared);
  add_rows(c, samples, "x", width);
  add_norm(c, shared, "norm", width);
}

void draw_group_norm(OpCase& c, Random& shared, Samples& samples) {
  const int groups = shared.one_of({1, 2, 8});
  const int width = groups * shared.between(3, 9);
  c.arguments["groups"] = groups;
  add_rows(c, samples, "x", width);
  add_norm(c, shared, "norm", width);
}

int add_summands(OpCase& c, Random& shared, Samples& samples) {
  const int width = channels(shared);
  Inputs inputs;
  for (Random& sample : samples) {
    const int rows = sample.rows();
    inputs.add("a", sample.matrix(rows, width));
    inputs.add("b", sample.matrix(rows, width));
  }
  inputs.store(c);
  return width;
}

void draw_add(OpCase& c, Random& shared, Samples& samples) { add_summands(c, shared, samples); }

void draw_add_scaled(OpCase& c, Random& shared, Samples& samples) {
  c.inputs["scale"] = shared.matrix(1, add_summands(c, shared, samples));
}

void draw_dot_rows(OpCase& c, Random& shared, Samples& samples) {
  const int width = channels(shared);
  add_rows(c, samples, "x", width);
  c.inputs["vector"] = shared.matrix(1, width);
}

void draw_window_attention(OpCase& c, Random& shared, Samples& samples) {
  const int window = shared.one_of({2, 3, 4, 7});
  const int heads = shared.one_of({1, 2, 3});
  // As many_channels(), with heads as narrow as that allows.
  const int width = heads * std::max(shared.one_of({1, 5, 16, 32}), (15 + heads) / heads);
  c.arguments["window"] = window;
  c.arguments["shift"] = shared.between(0, 1) * (window / 2);
  c.arguments["heads"] = heads;
  add_grids(c, samples, width, 17);
  add_norm(c, shared, "norm", width);
  add_linear(c, shared, "qkv", width, 3 * width);
  add_linear(c, shared, "output", width, width);
  c.inputs["bias"] = shared.matrix((2 * window - 1) * (2 * window - 1), heads);
}

void draw_patch_merge(OpCase& c, Random& shared, Samples& samples) {
  const int width = std::max(5, channels(shared));  // the norm has four times as many
  add_grids(c, samples, width, 21);
  add_norm(c, shared, "norm", 4 * width);
  add_linear(c, shared, "reduction", 4 * width, 2 * width, false);
}

void draw_convolve(OpCase& c, Random& shared, Samples& samples) {
  const int width = channels(shared);
  add_grids(c, samples, width, 21);
  add_linear(c, shared, "weight", 9 * width, shared.between(1, 70));
}

void draw_image_patches(OpCase& c, Random& shared, Samples& /*samples*/) {
  const int height = shared.between(1, 60);
  const int width = shared.between(1, 60);
  HostMatrix image{height, 3 * width, {}};
  for (int i = 0; i < height * width * 3; ++i) {
    image.values.push_back(static_cast<float>(shared.between(0, 255)));
  }
  c.inputs["image"] = image;
  c.arguments["width"] = shared.between(1, 90);
  c.arguments["height"] = shared.between(1, 90);
  c.arguments["patch"] = shared.one_of({1, 2, 4, 5});
  c.arguments["scale"] = {0.017, 0.0175, 0.0174};
  c.arguments["shift"] = {-2.1, -2.0, -1.8};
}

void draw_attention(OpCase& c, Random& shared, Samples& samples) {
  const int heads = shared.one_of({1, 2, 4});
  const int width = heads * shared.one_of({1, 6, 16, 32});
  const bool blocks = shared.between(0, 1) == 1;
  c.arguments = {{"heads", heads},
                 {"scale", 0.5},
                 {"query_sizes", nlohmann::json::array()},
                 {"key_sizes", nlohmann::json::array()},
                 {"blocks", nlohmann::json::array()}};
  Inputs inputs;
  for (Random& sample : samples) {
    const int queries = sample.rows();
    const int keys = blocks ? queries : sample.rows();
    c.arguments["query_sizes"].push_back(queries);
    c.arguments["key_sizes"].push_back(keys);
    for (int i = 0, block = 0; blocks && i < queries; ++i) {
      block += sample.between(0, 4) == 0 ? 1 : 0;
      c.arguments["blocks"].push_back(block);
    }
    inputs.add("query", sample.matrix(queries, width));
    inputs.add("key", sample.matrix(keys, width));
    inputs.add("value", sample.matrix(keys, width));
  }
  inputs.store(c);
}

void draw_embed_tokens(OpCase& c, Random& shared, Samples& samples) {
  const int width = channels(shared);
  c.inputs["words"] = shared.matrix(50, width);
  c.inputs["positions"] = shared.matrix(40, width);
  c.inputs["types"] = shared.matrix(2, width);
  for (Random& sample : samples) {
    for (int i = sample.rows(); i > 0; --i) {
      c.arguments["ids"].push_back(sample.between(0, 49));
      c.arguments["position_ids"].push_back(sample.between(0, 39));
    }
  }
}

void draw_folded_fusion(OpCase& c, Random& shared, Samples& samples) {
  const int width = many_channels(shared);
  const int heads = shared.one_of({1, 2, 4});
  c.arguments["heads"] = heads;
  Inputs inputs;
  for (Random& sample : samples) {
    const int rows = sample.rows();
    const int folded = heads * sample.one_of({1, sample.between(2, 9), sample.between(10, 70)});
    c.arguments["sizes"].push_back(rows);
    c.arguments["folded_sizes"].push_back(folded);
    const float deviation = 2.0F / std::sqrt(static_cast<float>(width));
    inputs.add("vision", sample.matrix(rows, width));
    inputs.add("keys", sample.matrix(folded, width, deviation));
    inputs.add("key_bias", sample.matrix(folded, 1));
    inputs.add("values", sample.matrix(folded, width));
  }
  inputs.store(c);
  add_norm(c, shared, "norm", width);
  c.inputs["output_bias"] = shared.matrix(1, width);
  c.inputs["gamma"] = shared.matrix(1, width);
}

void draw_deformable_attention(OpCase& c, Random& shared, Samples& samples) {
  const int heads = shared.one_of({2, 4});
  const int width = heads * shared.one_of({8, 13, 16, 32});
  const int levels = shared.between(1, 4);
  const int points = shared.between(1, 4);
  const bool boxes = shared.between(0, 1) == 1;
  c.arguments["heads"] = heads;
  c.arguments["points"] = points;
  c.arguments["pyramids"] = nlohmann::json::array();
  Inputs inputs;
  for (Random& sample : samples) {
    const std::int64_t cells = add_pyramid(c, sample, levels, 30);
    const std::int64_t queries = boxes ? sample.rows() : cells;
    c.arguments["query_sizes"].push_back(queries);
    inputs.add("query", sample.matrix(queries, width));
    inputs.add("position", sample.matrix(boxes ? queries : last_axis_rows(c), width));
    inputs.add("value", sample.matrix(cells, width));
    if (boxes) {
      HostMatrix reference{queries, 4, {}};
      for (std::int64_t i = 0; i < queries * 4; ++i) reference.values.push_back(sample.uniform());
      inputs.add("reference", reference);
    }
  }
  inputs.store(c);
  // Small offsets: a rounded one moves the sample by its error times the box's width in cells.
  add_linear(c, shared, "sampling", width, heads * levels * points * 3, true, 0.3F);
  add_linear(c, shared, "output", width, width);
  add_norm(c, shared, "norm", width);
}

void draw_axis_positions(OpCase& c, Random& shared, Samples& samples) {
  const int levels = shared.between(1, 4);
  c.arguments["pyramids"] = nlohmann::json::array();
  c.arguments["temperature"] = 20;
  for (Random& sample : samples) add_pyramid(c, sample, levels, kWideMap);
  c.inputs["level_embedding"] = shared.matrix(levels, 4 * shared.between(1, 20));
}

HostMatrix draw_boxes(Random& sample, std::int64_t rows) {
  HostMatrix boxes{rows, 4, {}};
  for (std::int64_t i = 0; i < rows * 4; ++i) {
    boxes.values.push_back(sample.one_of({0.0F, 1.0F, sample.uniform(), sample.uniform()}));
  }
  return boxes;
}

void draw_box_positions(OpCase& c, Random& shared, Samples& samples) {
  c.arguments["features"] = 2 * shared.between(1, 40);
  Inputs inputs;
  for (Random& sample : samples) inputs.add("boxes", draw_boxes(sample, sample.rows()));
  inputs.store(c);
}

void draw_mask_proposals(OpCase& c, Random& shared, Samples& samples) {
  const int width = channels(shared);
  const int levels = shared.between(1, 6);
  c.arguments["pyramids"] = nlohmann::json::array();
  Inputs inputs;
  for (Random& sample : samples) {
    const std::int64_t rows = add_pyramid(c, sample, levels, kWideMap);
    inputs.add("x", sample.matrix(rows, width));
  }
  inputs.store(c);
}

void draw_proposal_boxes(OpCase& c, Random& shared, Samples& samples) {
  const int levels = shared.between(1, 6);
  c.arguments["pyramids"] = nlohmann::json::array();
  Inputs inputs;
  std::int64_t begin = 0;
  for (Random& sample : samples) {
    const std::int64_t cells = add_pyramid(c, sample, levels, kWideMap);
    const int rows = sample.rows();
    for (int i = 0; i < rows; ++i) {
      c.arguments["rows"].push_back(begin + sample.between(0, static_cast<int>(cells) - 1));
    }
    inputs.add("delta", sample.matrix(rows, 4));
    begin += cells;
  }
  inputs.store(c);
}

void draw_refine_boxes(OpCase& c, Random& /*shared*/, Samples& samples) {
  Inputs inputs;
  for (Random& sample : samples) {
    const int rows = sample.rows();
    inputs.add("boxes", draw_boxes(sample, rows));
    inputs.add("delta", sample.matrix(rows, 4));
  }
  inputs.store(c);
}

void draw_similarity(OpCase& c, Random& shared, Samples& samples) {
  const int width = channels(shared);
  c.arguments["columns"] = 300;
  c.arguments["scale"] = 0.05F + shared.uniform();
  c.arguments["bias"] = shared.normal();
  Inputs inputs;
  for (Random& sample : samples) {
    const int rows = sample.rows();
    const int tokens = sample.rows();
    c.arguments["sizes"].push_back(rows);
    c.arguments["text_sizes"].push_back(tokens);
    inputs.add("x", sample.matrix(rows, width));
    inputs.add("text", sample.matrix(tokens, width));
  }
  inputs.store(c);
}

void draw_top_k(OpCase& c, Random& /*shared*/, Samples& samples) {
  Inputs inputs;
  for (Random& sample : samples) {
    const int rows = sample.rows();
    c.arguments["sizes"].push_back(rows);
    c.arguments["counts"].push_back(sample.one_of({1, rows, sample.between(1, rows)}));
    HostMatrix scores{rows, 1, {}};
    // Few different values, so that many are equal; now and then none at all.
    for (int i = 0; i < rows; ++i) {
      scores.values.push_back(
          sample.between(0, 19) == 0 ? std::nanf("") : static_cast<float>(sample.between(-9, 9)));
    }
    inputs.add("scores", scores);
  }
  inputs.store(c);
}

void draw_gather_rows(OpCase& c, Random& shared, Samples& samples) {
  const int width = channels(shared);
  Inputs inputs;
  int begin = 0;
  for (Random& sample : samples) {
    const int rows = sample.rows();
    for (int i = sample.rows(); i > 0; --i) {
      c.arguments["rows"].push_back(begin + sample.between(0, rows - 1));
    }
    inputs.add("x", sample.matrix(rows, width));
    begin += rows;
  }
  inputs.store(c);
}

using Draw = void (*)(OpCase&, Random&, Samples&);

const std::map<std::string, Draw>& draws() {
  static const std::map<std::string, Draw> table = {
      {"add", draw_add},
      {"add_scaled", draw_add_scaled},
      {"attention", draw_attention},
      {"axis_positions", draw_axis_positions},
      {"box_positions", draw_box_positions},
      {"convolve_3x3_stride2", draw_convolve},
      {"deformable_attention", draw_deformable_attention},
      {"dot_rows", draw_dot_rows},
      {"embed_tokens", draw_embed_tokens},
      {"feed_forward", draw_feed_forward},
      {"folded_fusion", draw_folded_fusion},
      {"gather_rows", draw_gather_rows},
      {"group_norm", draw_group_norm},
      {"image_patches", draw_image_patches},
      {"layer_norm", draw_layer_norm},
      {"linear", draw_linear},
      {"mask_proposals", draw_mask_proposals},
      {"max_similarity", draw_similarity},
      {"patch_merge", draw_patch_merge},
      {"proposal_boxes", draw_proposal_boxes},
      {"refine_boxes", draw_refine_boxes},
      {"similarity", draw_similarity},
      {"top_k", draw_top_k},
      {"window_attention", draw_window_attention},
  };
  return table;
}

}  // namespace

std::vector<std::string> random_ops() {
  std::vector<std::string> names;
  for (const auto& [name, draw] : draws()) names.push_back(name);
  return names;
}

OpCase random_case(const std::string& op, std::uint64_t seed,
                   const std::vector<std::uint64_t>& samples) {
  OpCase op_case{op, "seed " + std::to_string(seed), nlohmann::json::object(), {}};
  Random shared(seed);
  Samples random;
  for (const std::uint64_t sample : samples) random.emplace_back(sample);
  draws().at(op)(op_case, shared, random);
  return op_case;
}

}  // namespace itemcrop::test
