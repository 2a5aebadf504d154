// A taxonomy file: an Error that names the file and line, or a taxonomy that can be planned with.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "itemcrop/error.h"

#include "taxonomy/plan.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace itemcrop;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  taxonomy::Taxonomy parsed;
  try {
    parsed = taxonomy::parse_taxonomy(text, "f");
  } catch (const Error& error) {
    const bool expected =
        error.code() == ErrorCode::kInvalidArgument || error.code() == ErrorCode::kLimitExceeded;
    if (!expected || !std::string_view(error.what()).starts_with("f:")) std::abort();
    return 0;
  }
  if (parsed.categories.empty() || parsed.kinds.empty()) std::abort();
  const taxonomy::Plan everything = taxonomy::plan_analysis(parsed);
  if (everything.items.size() != everything.meanings.size()) std::abort();
  const std::vector<std::string> words = {parsed.categories.front().name, parsed.kinds.back().name};
  const taxonomy::Plan plan = taxonomy::plan_crop(parsed, words);
  if (plan.targets.empty() || plan.targets.size() > 2) std::abort();
  taxonomy::select(plan, {});
  return 0;
}
