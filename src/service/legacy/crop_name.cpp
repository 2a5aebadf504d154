#include "service/legacy/crop_name.h"

#include "core/ascii.h"

namespace itemcrop::service::legacy {

std::string crop_name(const std::string& /*stem*/, int number, const crop::FoundItem& item,
                      image::Format /*format*/) {
  constexpr std::size_t kMaxPromptBytes = 100;
  std::string name = "item" + std::to_string(number) + "_";
  for (const char c : item.prompt.substr(0, kMaxPromptBytes)) {
    const char low = lower(c);
    const bool keep =
        (low >= 'a' && low <= 'z') || (low >= '0' && low <= '9') || c == '-' || c == '_';
    name += keep ? c : '_';
  }
  return name + "_crop.jpg";
}

}  // namespace itemcrop::service::legacy
