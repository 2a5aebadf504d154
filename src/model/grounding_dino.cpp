#include "model/grounding_dino.h"

#include <algorithm>
#include <string>

#include "core/thread_pool.h"

namespace itemcrop::model {
namespace {

constexpr std::int64_t kBoxValues = 4;

/// Whether sample i is of image i, for every i.
bool are_in_order(std::span<const int> images) {
  for (std::size_t i = 0; i < images.size(); ++i) {
    if (images[i] != static_cast<int>(i)) return false;
  }
  return true;
}

}  // namespace

GroundingDino::GroundingDino(const io::Weights& weights, const ops::Backend& backend, int threads)
    : GroundingDino(WeightLoader(weights, backend), threads, LoadJobs{}) {}

GroundingDino::GroundingDino(const WeightLoader& loader, int threads, LoadJobs jobs)
    : width_(loader.config().d_model),
      swin_(loader, jobs),
      neck_(loader, jobs),
      bert_(loader, jobs),
      encoder_(loader, jobs),
      proposals_(loader, jobs),
      decoder_(loader, jobs) {
  ThreadPool pool(threads);
  pool.parallel_for(static_cast<std::int64_t>(jobs.size()), [&](std::int64_t job, int /*worker*/) {
    jobs[static_cast<std::size_t>(job)]();
  });
}

void GroundingDino::encode_text(ops::Executor& executor, const TextInput& text, float* features,
                                const StageTap& tap) const {
  const ops::ArenaScope scope(executor);
  ops::Matrix y = executor.allocate(text.tokens(), width_, DType::kF32);
  bert_.run(executor, text, y, tap);
  executor.download(y, features);
}

std::vector<ops::Pyramid> GroundingDino::pyramids(std::span<const ImageInput> images) const {
  std::vector<ops::Pyramid> result;
  std::int64_t begin = 0;
  for (const ImageInput& image : images) {
    result.push_back(neck_.pyramid(swin_.output_grids(image.height, image.width), begin));
    begin += result.back().rows();
  }
  return result;
}

void GroundingDino::encode_images(ops::Executor& executor, const Swin::Patches& patches,
                                  std::span<const ops::Pyramid> pyramids, ops::Matrix vision,
                                  const StageTap& tap) const {
  swin_.run(executor, patches, tap,
            [&](int output, ops::Matrix features, std::span<const ops::Grid> grids) {
              neck_.project(executor, output, features, grids, pyramids, vision, tap);
            });
}

std::vector<SampleOutput> GroundingDino::detect(ops::Executor& executor, ops::Matrix vision,
                                                std::span<const ops::Pyramid> pyramids,
                                                VisionUse vision_use, std::span<const int> images,
                                                const TextInput& text, const float* text_features,
                                                const ModelSwitches& switches,
                                                const StageTap& tap) const {
  const ops::ArenaScope scope(executor);
  std::vector<ops::Pyramid> sample_pyramids;
  std::vector<ops::Segment> vision_segments;
  std::vector<ops::Segment> query_segments;
  std::int64_t rows = 0;
  std::int64_t queries = 0;
  std::int64_t longest_text = 0;
  for (std::size_t s = 0; s < images.size(); ++s) {
    ops::Pyramid pyramid = pyramids[static_cast<std::size_t>(images[s])];
    const std::int64_t shift = rows - pyramid.begin();
    for (ops::Grid& level : pyramid.levels) level.begin += shift;
    vision_segments.push_back({rows, pyramid.rows()});
    query_segments.push_back({queries, proposals_.count(pyramid.rows())});
    rows += vision_segments.back().rows;
    queries += query_segments.back().rows;
    longest_text = std::max(longest_text, text.segments[s].rows);
    sample_pyramids.push_back(std::move(pyramid));
  }

  // Outputs first: everything below them in the arena is released before they are read. As one
  // matrix, they are one download.
  ops::Matrix answers = executor.allocate(queries, kBoxValues + longest_text, DType::kF32);
  ops::Matrix boxes = answers.column_range(0, kBoxValues);
  ops::Matrix logits = answers.column_range(kBoxValues, longest_text);
  // The encoder works in place and several samples may share an image.
  const bool in_place = vision_use == VisionUse::kLast && rows == vision.rows &&
                        images.size() == pyramids.size() && are_in_order(images);
  SampleBatch batch{.vision = in_place ? vision : executor.allocate(rows, width_),
                    .text = executor.allocate(text.tokens(), width_, DType::kF32),
                    .pyramids = sample_pyramids,
                    .vision_segments = vision_segments,
                    .text_input = &text};
  for (std::size_t s = 0; s < images.size() && !in_place; ++s) {
    const ops::Pyramid& source = pyramids[static_cast<std::size_t>(images[s])];
    executor.run(
        ops::Copy{vision.row_range(source.begin(), source.rows()),
                  batch.vision.row_range(vision_segments[s].begin, vision_segments[s].rows)});
  }
  executor.upload(text_features, batch.text);

  encoder_.run(executor, batch, switches, tap);
  proposals_.run(executor, batch, query_segments, boxes, switches, tap);
  decoder_.run(executor, batch, query_segments, boxes, logits, tap);

  std::vector<float> values(static_cast<std::size_t>(answers.rows * answers.cols));
  executor.download(answers, values.data());
  std::vector<SampleOutput> outputs(images.size());
  for (std::size_t s = 0; s < images.size(); ++s) {
    SampleOutput& output = outputs[s];
    output.queries = query_segments[s].rows;
    output.tokens = text.segments[s].rows;
    output.logits.reserve(static_cast<std::size_t>(output.queries * output.tokens));
    output.boxes.reserve(static_cast<std::size_t>(output.queries * kBoxValues));
    for (std::int64_t q = 0; q < output.queries; ++q) {
      const auto row = values.begin() + (query_segments[s].begin + q) * answers.cols;
      output.boxes.insert(output.boxes.end(), row, row + kBoxValues);
      output.logits.insert(output.logits.end(), row + kBoxValues, row + kBoxValues + output.tokens);
    }
    tap.values("logits", static_cast<int>(s), output.logits.data(), output.queries, output.tokens);
    tap.values("boxes", static_cast<int>(s), output.boxes.data(), output.queries, kBoxValues);
  }
  return outputs;
}

}  // namespace itemcrop::model
