#include "cli/placement.h"

#include <charconv>

#include "itemcrop/error.h"

namespace itemcrop::cli {

void place_on(const std::string& word, const std::string& field, DetectOptions& options) {
  constexpr std::string_view kNumbered = "cuda:";
  int index = 0;
  bool known = word == "auto" || word == "cpu" || word == "cuda";
  if (word.starts_with(kNumbered)) {
    const char* end = word.data() + word.size();
    const auto [stop, problem] = std::from_chars(word.data() + kNumbered.size(), end, index);
    known = problem == std::errc() && stop == end && index >= 0;
  }
  if (!known) {
    throw Error(
        ErrorCode::kInvalidArgument,
        field + " must be auto, cpu, cuda or cuda:N (N is the GPU's number), got '" + word + "'");
  }
  options.device = parse_device(word.substr(0, word.find(':')));
  options.device_index = index;
}

}  // namespace itemcrop::cli
