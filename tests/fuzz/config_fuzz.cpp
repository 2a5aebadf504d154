// config.json, then after a NUL byte preprocessor_config.json: an Error, or a config whose weights
// can be listed.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "itemcrop/error.h"

#include "io/model_config.h"
#include "io/weight_table.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace itemcrop;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const std::size_t split = std::min(text.find('\0'), text.size());
  const std::string_view preprocessor = text.substr(std::min(split + 1, text.size()));
  try {
    const io::ModelConfig config = io::parse_model_config(text.substr(0, split), preprocessor);
    for (const io::WeightSpec& spec : io::weight_table(config)) {
      if (!std::all_of(spec.shape.begin(), spec.shape.end(), [](auto n) { return n >= 1; })) {
        std::abort();
      }
    }
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kCorruptModel && error.code() != ErrorCode::kUnsupportedModel) {
      std::abort();
    }
  }
  return 0;
}
