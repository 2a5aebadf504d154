#include "items/claims.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <tuple>

#include "items/suppression.h"

namespace itemcrop::items {
namespace {

struct SpanEvidence {
  float mean = 0;
  float maximum = 0;
};

/// The spans of one pass that belong to one item stand together in PromptPass::spans.
SpanEvidence evidence_of(std::span<const text::ItemSpan> spans, const float* token_probabilities) {
  double sum = 0;
  float maximum = 0;
  int count = 0;
  for (const text::ItemSpan& span : spans) {
    for (int token = span.begin; token < span.end; ++token, ++count) {
      sum += token_probabilities[token];
      maximum = std::max(maximum, token_probabilities[token]);
    }
  }
  return {count > 0 ? static_cast<float>(sum / count) : 0.0F, maximum};
}

/// Calls visit(item, its spans) for every item of the pass, in the pass' order.
template <typename Visit>
void for_each_item(const text::PromptPass& pass, Visit&& visit) {
  const std::span<const text::ItemSpan> spans = pass.spans;
  for (std::size_t begin = 0; begin < spans.size();) {
    std::size_t end = begin + 1;
    while (end < spans.size() && spans[end].item == spans[begin].item) ++end;
    visit(spans[begin].item, spans.subspan(begin, end - begin));
    begin = end;
  }
}

const float* row(const PassOutput& output, int query) {
  return output.probabilities + static_cast<std::ptrdiff_t>(query) * output.tokens();
}

}  // namespace

std::optional<Box> query_box(const PassOutput& output, int query, int width, int height) {
  const float* box = output.boxes + static_cast<std::ptrdiff_t>(query) * 4;
  const auto w = static_cast<float>(width);
  const auto h = static_cast<float>(height);
  // The reference's order of operations: corners first, then the scale.
  const Box pixels{(box[0] - 0.5F * box[2]) * w, (box[1] - 0.5F * box[3]) * h,
                   (box[0] + 0.5F * box[2]) * w, (box[1] + 0.5F * box[3]) * h};
  if (!std::isfinite(pixels.x0) || !std::isfinite(pixels.y0) || !std::isfinite(pixels.x1) ||
      !std::isfinite(pixels.y1)) {
    return std::nullopt;
  }
  return pixels;
}

std::vector<Claim> claims_of_pass(const PassOutput& output, int pass, std::span<const Item> items,
                                  int width, int height, float default_threshold) {
  std::vector<Claim> claims;
  for (int query = 0; query < output.queries; ++query) {
    Claim best;
    best.pass = pass;
    best.query = query;
    for_each_item(*output.pass, [&](int item, std::span<const text::ItemSpan> spans) {
      const SpanEvidence found = evidence_of(spans, row(output, query));
      if (best.item < 0 || found.mean > best.evidence) {
        best.item = item;
        best.evidence = found.mean;
        best.score = found.maximum;
      }
    });
    if (best.item < 0) continue;
    const Item& item = items[static_cast<std::size_t>(best.item)];
    if (!(best.score > item.threshold.value_or(default_threshold))) continue;
    if (const std::optional<Box> box = query_box(output, query, width, height)) {
      best.box = clamp_to_image(*box, width, height);
      claims.push_back(best);
    }
  }
  return claims;
}

std::vector<Claim> settle_between_passes(std::vector<Claim> claims) {
  std::sort(claims.begin(), claims.end(), [](const Claim& a, const Claim& b) {
    return std::tuple(-a.evidence, a.item, a.query) < std::tuple(-b.evidence, b.item, b.query);
  });
  std::vector<Claim> settled;
  for (const Claim& claim : claims) {
    const bool contested = std::any_of(settled.begin(), settled.end(), [&](const Claim& stronger) {
      return stronger.pass != claim.pass &&
             intersection_over_union(stronger.box, claim.box) >= kSameObjectIou;
    });
    if (!contested) settled.push_back(claim);
  }
  return settled;
}

void add_query_scores(const PassOutput& output, int query, std::span<float> scores) {
  for_each_item(*output.pass, [&](int item, std::span<const text::ItemSpan> spans) {
    float& score = scores[static_cast<std::size_t>(item)];
    score = std::max(score, evidence_of(spans, row(output, query)).maximum);
  });
}

std::vector<float> scores_across_passes(std::span<const PassOutput> passes,
                                        std::span<const std::vector<Box>> pass_boxes, int pass,
                                        int query, const Box& box, std::size_t item_count) {
  std::vector<float> scores(item_count, 0.0F);
  for (std::size_t other = 0; other < passes.size(); ++other) {
    if (static_cast<int>(other) == pass) {
      add_query_scores(passes[other], query, scores);
      continue;
    }
    const std::vector<Box>& boxes = pass_boxes[other];
    for (std::size_t candidate = 0; candidate < boxes.size(); ++candidate) {
      if (intersection_over_union(boxes[candidate], box) >= kSameObjectIou) {
        add_query_scores(passes[other], static_cast<int>(candidate), scores);
      }
    }
  }
  return scores;
}

}  // namespace itemcrop::items
