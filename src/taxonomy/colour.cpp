#include "taxonomy/colour.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "itemcrop/error.h"

#include "core/ascii.h"
#include "taxonomy/words.h"

namespace itemcrop::taxonomy {
namespace {

constexpr int kNames = static_cast<int>(ColourName::kMulticolour) + 1;
/// The ring around the box, as a share of its sides.
constexpr float kRing = 0.15F;
/// A ring with less than this share of the box' points says nothing about the background.
constexpr float kLeastRing = 0.06F;
/// Distance in Lab at which a point is no longer taken for background.
constexpr float kBackgroundReach = 13.0F;
/// If less than this share of the box differs from the background, the garment has its colour.
constexpr float kLeastForeground = 0.15F;
/// A garment whose main colour covers less than this is of many colours.
constexpr float kLeastMainShare = 0.48F;
constexpr int kRounds = 12;
constexpr std::size_t kClusters = 6;
/// Shades of one colour are nearer than this in (a, b), or in hue, and from one to the next in
/// lightness and chroma.
constexpr float kShadeDistance = 12.0F;
constexpr float kShadeTurn = 15.0F;  // degrees
constexpr float kShadeStep = 26.0F;

struct Point {
  Lab lab;
  float weight = 1;
};

struct Cluster {
  Lab centre;
  float weight = 0;
};

/// Shading moves lightness more than hue, so lightness counts less.
float distance(const Lab& p, const Lab& q) noexcept {
  const float l = 0.7F * (p.l - q.l);
  return std::sqrt(l * l + (p.a - q.a) * (p.a - q.a) + (p.b - q.b) * (p.b - q.b));
}

/// Index of the nearest centre, the first of equals.
std::size_t nearest(const std::vector<Cluster>& clusters, const Lab& lab) {
  std::size_t own = 0;
  float least = distance(lab, clusters[0].centre);
  for (std::size_t c = 1; c < clusters.size(); ++c) {
    const float d = distance(lab, clusters[c].centre);
    if (d < least) {
      least = d;
      own = c;
    }
  }
  return own;
}

/// Weighted k-means from a fixed start (heaviest spread first), so equal images give equal
/// answers. At most k clusters, heaviest first, none empty.
std::vector<Cluster> cluster(const std::vector<Point>& points, std::size_t k) {
  std::vector<Cluster> clusters;
  if (points.empty()) return clusters;
  Lab mean;
  float total = 0;
  for (const Point& point : points) {
    mean.l += point.weight * point.lab.l;
    mean.a += point.weight * point.lab.a;
    mean.b += point.weight * point.lab.b;
    total += point.weight;
  }
  if (!(total > 0)) return clusters;
  clusters.push_back({{mean.l / total, mean.a / total, mean.b / total}, 0});
  std::vector<float> distances(points.size(), 0);
  while (clusters.size() < k) {
    std::size_t furthest = 0;
    float best = 0;
    for (std::size_t i = 0; i < points.size(); ++i) {
      const float d = distance(points[i].lab, clusters.back().centre);
      distances[i] = clusters.size() == 1 ? d : std::min(distances[i], d);
      // The square root keeps lone outliers from becoming centres.
      const float pull = distances[i] * std::sqrt(points[i].weight);
      if (pull > best) {
        best = pull;
        furthest = i;
      }
    }
    if (best <= 0) break;
    clusters.push_back({points[furthest].lab, 0});
  }
  for (int round = 0; round < kRounds; ++round) {
    std::vector<Cluster> sums(clusters.size());
    for (const Point& point : points) {
      Cluster& sum = sums[nearest(clusters, point.lab)];
      sum.centre.l += point.weight * point.lab.l;
      sum.centre.a += point.weight * point.lab.a;
      sum.centre.b += point.weight * point.lab.b;
      sum.weight += point.weight;
    }
    for (std::size_t c = 0; c < clusters.size(); ++c) {
      clusters[c].weight = sums[c].weight;
      if (sums[c].weight <= 0) continue;
      const float scale = 1.0F / sums[c].weight;
      clusters[c].centre = {sums[c].centre.l * scale, sums[c].centre.a * scale,
                            sums[c].centre.b * scale};
    }
  }
  std::erase_if(clusters, [](const Cluster& c) { return c.weight <= 0; });
  std::stable_sort(clusters.begin(), clusters.end(),
                   [](const Cluster& p, const Cluster& q) { return p.weight > q.weight; });
  return clusters;
}

/// Mean colour of up to 3 x 3 pixels spread over a cell, which calms noise and weave.
Lab cell_colour(const ImageView& view, float x, float y, float cell_width, float cell_height) {
  std::array<int, 3> sum = {0, 0, 0};
  for (int j = -1; j <= 1; ++j) {
    for (int i = -1; i <= 1; ++i) {
      const auto column = static_cast<int>(x + static_cast<float>(i) * cell_width / 3.0F);
      const auto row = static_cast<int>(y + static_cast<float>(j) * cell_height / 3.0F);
      const std::uint8_t* pixel = view.pixels +
                                  std::clamp(row, 0, view.height - 1) * view.stride() +
                                  std::clamp(column, 0, view.width - 1) * std::ptrdiff_t{3};
      for (std::size_t c = 0; c < 3; ++c) sum[c] += pixel[c];
    }
  }
  const auto mean = [&](std::size_t c) { return static_cast<unsigned char>((sum[c] + 4) / 9); };
  return lab_of_srgb(mean(0), mean(1), mean(2));
}

struct Samples {
  std::vector<Point> inside;
  std::vector<Point> ring;
};

/// The box' points, weighted by nearness to its centre, and those of the ring around it.
Samples take_samples(const ImageView& view, const Box& box, int count) {
  Samples samples;
  // No finer than the pixels, and at least one point, at the centre.
  const int columns = std::clamp(static_cast<int>(box.width()), 1, count);
  const int rows = std::clamp(static_cast<int>(box.height()), 1, count);
  const float cell_width = box.width() / static_cast<float>(columns);
  const float cell_height = box.height() / static_cast<float>(rows);
  const auto ring_columns = static_cast<int>(std::ceil(static_cast<float>(columns) * kRing));
  const auto ring_rows = static_cast<int>(std::ceil(static_cast<float>(rows) * kRing));
  for (int row = -ring_rows; row < rows + ring_rows; ++row) {
    const float y = box.y0 + (static_cast<float>(row) + 0.5F) * cell_height;
    if (y < 0 || y >= static_cast<float>(view.height)) continue;
    for (int column = -ring_columns; column < columns + ring_columns; ++column) {
      const float x = box.x0 + (static_cast<float>(column) + 0.5F) * cell_width;
      if (x < 0 || x >= static_cast<float>(view.width)) continue;
      const Lab lab = cell_colour(view, x, y, cell_width, cell_height);
      if (row >= 0 && row < rows && column >= 0 && column < columns) {
        const float u = 2.0F * (x - box.x0) / box.width() - 1.0F;
        const float v = 2.0F * (y - box.y0) / box.height() - 1.0F;
        samples.inside.push_back({lab, std::exp(-1.6F * (u * u + v * v))});
      } else {
        samples.ring.push_back({lab, 1});
      }
    }
  }
  return samples;
}

float total_weight(const std::vector<Point>& points) {
  float total = 0;
  for (const Point& point : points) total += point.weight;
  return total;
}

/// Takes weight from points that look like the ring; undone where that leaves next to nothing.
void discount_background(std::vector<Point>& inside, const std::vector<Point>& ring) {
  if (static_cast<float>(ring.size()) < kLeastRing * static_cast<float>(inside.size())) return;
  std::vector<Cluster> background = cluster(ring, 4);
  std::erase_if(background, [&](const Cluster& c) {
    return c.weight < 0.08F * static_cast<float>(ring.size());
  });
  std::vector<Point> discounted = inside;
  for (Point& point : discounted) {
    float least = kBackgroundReach * 10;
    for (const Cluster& c : background) least = std::min(least, distance(point.lab, c.centre));
    const float ratio = least / kBackgroundReach;
    point.weight *= 1.0F - 0.97F * std::exp(-ratio * ratio);
  }
  if (total_weight(discounted) > kLeastForeground * total_weight(inside)) {
    inside = std::move(discounted);
  }
}

ColourName as_metal(ColourName name) noexcept {
  switch (name) {
    case ColourName::kYellow:
    case ColourName::kOrange:
    case ColourName::kTan:
    case ColourName::kKhaki:
    case ColourName::kBeige:
      return ColourName::kGold;
    case ColourName::kGrey:
    case ColourName::kWhite:
      return ColourName::kSilver;
    default:
      return name;
  }
}

/// Whether two colours may be one in different light. Light scales chroma as well, so of two strong
/// colours only the hue has to agree.
bool is_shade(const Lab& p, const Lab& q) noexcept {
  if (std::abs(p.l - q.l) > kShadeStep) return false;
  if (std::hypot(p.a - q.a, p.b - q.b) < kShadeDistance) return true;
  const float turn = std::abs(p.hue() - q.hue());
  return std::min(p.chroma(), q.chroma()) > kShadeDistance &&
         std::abs(p.chroma() - q.chroma()) < kShadeStep &&
         std::min(turn, 360.0F - turn) < kShadeTurn;
}

/// Joins clusters that are one hue in different light. Returns each cluster's group.
std::vector<int> group_shades(const std::vector<Cluster>& clusters) {
  std::vector<int> group(clusters.size());
  for (std::size_t c = 0; c < clusters.size(); ++c) group[c] = static_cast<int>(c);
  for (std::size_t p = 0; p < clusters.size(); ++p) {
    for (std::size_t q = 0; q < p; ++q) {
      if (!is_shade(clusters[p].centre, clusters[q].centre)) continue;
      const int from = group[p];
      for (int& g : group) {
        if (g == from) g = group[q];
      }
    }
  }
  return group;
}

float weighted_median(std::vector<std::pair<float, float>>& values) {
  std::sort(values.begin(), values.end());
  float total = 0;
  for (const auto& [value, weight] : values) total += weight;
  float sum = 0;
  for (const auto& [value, weight] : values) {
    sum += weight;
    if (2 * sum >= total) return value;
  }
  return 0;
}

/// Median of each channel over the points of one group: folds and prints do not move it.
Lab median_of_group(const std::vector<Point>& points, const std::vector<Cluster>& clusters,
                    const std::vector<int>& group, int wanted) {
  std::array<std::vector<std::pair<float, float>>, 3> channels;
  for (const Point& point : points) {
    if (group[nearest(clusters, point.lab)] != wanted) continue;
    channels[0].emplace_back(point.lab.l, point.weight);
    channels[1].emplace_back(point.lab.a, point.weight);
    channels[2].emplace_back(point.lab.b, point.weight);
  }
  return {weighted_median(channels[0]), weighted_median(channels[1]), weighted_median(channels[2])};
}

std::vector<ColourShare> name_shares(const std::vector<Cluster>& clusters, float total) {
  std::array<float, kNames> shares{};
  for (const Cluster& c : clusters) shares[static_cast<std::size_t>(name_of(c.centre))] += c.weight;
  std::vector<ColourShare> named;
  for (std::size_t i = 0; i < shares.size(); ++i) {
    if (shares[i] > 0) named.push_back({static_cast<ColourName>(i), shares[i] / total});
  }
  std::stable_sort(named.begin(), named.end(),
                   [](const ColourShare& p, const ColourShare& q) { return p.share > q.share; });
  return named;
}

/// Whether one of the words, or two together, is a colour's name.
bool names_a_colour(const std::string& phrase) {
  const std::string padded = " " + normalized(phrase) + " ";
  for (int i = 0; i < kNames; ++i) {
    const std::string name(to_string(static_cast<ColourName>(i)));
    if (padded.find(" " + name + " ") != std::string::npos) return true;
  }
  return padded.find(" gray ") != std::string::npos ||
         padded.find(" multicolor") != std::string::npos;
}

void check(const ImageView& image, const Box& box, const ColourOptions& options) {
  const auto refuse = [](const std::string& message) {
    throw Error(ErrorCode::kInvalidArgument, message);
  };
  if (image.pixels == nullptr || image.width < 1 || image.height < 1) {
    refuse("image must not be empty");
  }
  if (options.samples < 8 || options.samples > 512) {
    refuse("samples must be between 8 and 512, got " + std::to_string(options.samples));
  }
  const bool finite = std::isfinite(box.x0) && std::isfinite(box.y0) && std::isfinite(box.x1) &&
                      std::isfinite(box.y1);
  if (!finite || box.x1 <= 0 || box.y1 <= 0 || box.x0 >= static_cast<float>(image.width) ||
      box.y0 >= static_cast<float>(image.height) || box.width() <= 0 || box.height() <= 0) {
    refuse("box must be finite, not empty, and touch the image");
  }
}

}  // namespace

ColourEstimate estimate_colour(const ImageView& image, const Box& box,
                               const ColourOptions& options) {
  check(image, box, options);
  const Box visible = {std::max(box.x0, 0.0F), std::max(box.y0, 0.0F),
                       std::min(box.x1, static_cast<float>(image.width)),
                       std::min(box.y1, static_cast<float>(image.height))};
  Samples samples = take_samples(image, visible, options.samples);
  discount_background(samples.inside, samples.ring);

  const std::vector<Cluster> clusters = cluster(samples.inside, kClusters);
  const std::vector<int> group = group_shades(clusters);
  const float total = total_weight(samples.inside);

  std::array<float, kClusters> group_weight{};
  for (std::size_t c = 0; c < clusters.size(); ++c) {
    group_weight[static_cast<std::size_t>(group[c])] += clusters[c].weight;
  }
  const auto main = static_cast<int>(std::max_element(group_weight.begin(), group_weight.end()) -
                                     group_weight.begin());
  ColourEstimate estimate;
  estimate.lab = median_of_group(samples.inside, clusters, group, main);
  estimate.name = name_of(estimate.lab);
  estimate.confidence = group_weight[static_cast<std::size_t>(main)] / total;
  estimate.shares = name_shares(clusters, total);
  if (estimate.confidence < kLeastMainShare) estimate.name = ColourName::kMulticolour;
  if (options.metallic) estimate.name = as_metal(estimate.name);
  return estimate;
}

std::string describe(ColourName colour, std::string_view kind) {
  const std::string words = tidy(kind);
  std::string name(to_string(colour));
  if (words.empty()) return name;
  return names_a_colour(words) ? words : name + " " + words;
}

}  // namespace itemcrop::taxonomy
