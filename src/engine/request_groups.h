#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/text_cache.h"
#include "model/bert.h"
#include "model/swin.h"
#include "text/prompt.h"

namespace itemcrop::engine {

/// One chunk of a request's prompt; features are null until the text encoder or its cache has
/// given them.
struct PassInput {
  text::PromptPass prompt;
  TextCache::Features features;
};

/// One request, resolved: the size its image is resized to and the passes of its prompt.
struct RequestInput {
  model::ImageInput image;
  std::vector<PassInput> passes;
  std::int64_t cells = 0;  ///< vision tokens of the image
};

/// Images that share one run of the backbone, and their samples in runs of the rest.
struct RequestGroup {
  struct SampleRun {
    std::vector<int> images;               ///< per sample: image within the group
    std::vector<const PassInput*> passes;  ///< per sample
  };
  std::size_t first_request = 0;
  std::vector<model::ImageInput> images;
  std::vector<SampleRun> runs;
};

/// Splits a call into groups whose vision tokens stay within `budget`, at least one image each,
/// and each group's samples likewise. Results do not depend on the split, memory does.
std::vector<RequestGroup> group_requests(std::span<const RequestInput> requests,
                                         std::int64_t budget);

/// Prompts laid end to end as the model reads them.
model::TextInput join_passes(std::span<const PassInput* const> passes);

}  // namespace itemcrop::engine
