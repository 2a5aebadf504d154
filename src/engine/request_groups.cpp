#include "engine/request_groups.h"

namespace itemcrop::engine {

std::vector<RequestGroup> group_requests(std::span<const RequestInput> requests,
                                         std::int64_t budget) {
  std::vector<RequestGroup> groups;
  std::int64_t group_cells = 0;
  std::int64_t run_cells = 0;
  for (std::size_t r = 0; r < requests.size(); ++r) {
    const RequestInput& request = requests[r];
    if (groups.empty() || group_cells + request.cells > budget) {
      groups.push_back({.first_request = r, .images = {}, .runs = {}});
      group_cells = 0;
    }
    RequestGroup& group = groups.back();
    const int image = static_cast<int>(group.images.size());
    group.images.push_back(request.image);
    group_cells += request.cells;
    for (const PassInput& pass : request.passes) {
      if (group.runs.empty() || run_cells + request.cells > budget) {
        group.runs.emplace_back();
        run_cells = 0;
      }
      RequestGroup::SampleRun& run = group.runs.back();
      run.images.push_back(image);
      run.passes.push_back(&pass);
      run_cells += request.cells;
    }
  }
  return groups;
}

model::TextInput join_passes(std::span<const PassInput* const> passes) {
  model::TextInput text;
  for (const PassInput* pass : passes) {
    const text::PromptPass& prompt = pass->prompt;
    const std::int64_t begin = text.tokens();
    text.segments.push_back({begin, static_cast<std::int64_t>(prompt.ids.size())});
    text.ids.insert(text.ids.end(), prompt.ids.begin(), prompt.ids.end());
    text.positions.insert(text.positions.end(), prompt.positions.begin(), prompt.positions.end());
    text.blocks.insert(text.blocks.end(), prompt.blocks.begin(), prompt.blocks.end());
  }
  return text;
}

}  // namespace itemcrop::engine
