// What a vision-language endpoint answered: an Error, or a list within its limits.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "itemcrop/error.h"

#include "taxonomy/vlm_answer.h"

namespace {

template <typename Parse>
void check(const Parse& parse, std::string_view text) {
  using namespace itemcrop;
  const taxonomy::VlmAnswerLimits limits;
  try {
    const std::vector<taxonomy::ListedItem> items = parse(text, limits);
    if (items.size() > limits.items) std::abort();
    for (const taxonomy::ListedItem& item : items) {
      if (item.prompt.empty() || item.prompt.size() > limits.text_bytes ||
          item.category.size() > limits.text_bytes || item.description.size() > limits.text_bytes) {
        std::abort();
      }
    }
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kUnavailable) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  check(itemcrop::taxonomy::parse_vlm_answer, text);
  check(itemcrop::taxonomy::parse_item_list, text);
  return 0;
}
