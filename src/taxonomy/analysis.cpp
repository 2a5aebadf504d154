#include "taxonomy/analysis.h"

#include <algorithm>
#include <cmath>
#include <cstdint>

#include <nlohmann/json.hpp>

namespace itemcrop::taxonomy {
namespace {

using Json = nlohmann::ordered_json;

double rounded(double value, double scale) { return std::round(value * scale) / scale; }

}  // namespace

double AnalysisTiming::overhead() const noexcept {
  return std::max(total - download - list - detect - processing - upload, 0.0);
}

std::size_t AnalysisResult::bytes() const noexcept {
  std::size_t sum = sizeof(*this) + source.capacity() + fallback_reason.capacity();
  for (const AnalysisItem& item : items) {
    sum += sizeof(item) + item.category.capacity() + item.prompt.capacity() +
           item.description.capacity() + item.url.capacity();
  }
  for (const std::string& word : not_found) sum += sizeof(word) + word.capacity();
  return sum;
}

std::vector<AnalysisItem> analysis_items(const Selection& selection) {
  std::vector<AnalysisItem> items;
  items.reserve(selection.found.size());
  for (const Found& found : selection.found) {
    AnalysisItem item;
    item.category = found.category;
    item.prompt = found.prompt;
    item.description = found.description;
    item.confidence = found.score;
    item.box = found.box;
    items.push_back(std::move(item));
  }
  return items;
}

Json to_legacy_json(const AnalysisResult& result, bool cached) {
  Json items = Json::array();
  for (const AnalysisItem& item : result.items) {
    items.push_back({{"category", item.category},
                     {"groundingdino_prompt", item.prompt},
                     {"description", item.description},
                     {"croppedImageUrl", item.url.empty() ? Json(nullptr) : Json(item.url)},
                     {"confidence", rounded(static_cast<double>(item.confidence), 1e6)}});
  }
  const AnalysisTiming& timing = result.timing;
  return {{"items", std::move(items)},
          {"cached", cached},
          {"timing",
           {{"download_seconds", rounded(timing.download, 1e3)},
            {"gpt4o_seconds", rounded(timing.list, 1e3)},
            {"groundingdino_seconds", rounded(timing.detect, 1e3)},
            {"processing_seconds", rounded(timing.processing, 1e3)},
            {"upload_seconds", rounded(timing.upload, 1e3)},
            {"overhead_seconds", rounded(timing.overhead(), 1e3)},
            {"total_seconds", rounded(timing.total, 1e3)}}}};
}

}  // namespace itemcrop::taxonomy
