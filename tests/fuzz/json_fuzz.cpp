#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include <nlohmann/json.hpp>

#include "itemcrop/error.h"

#include "io/json.h"
#include "service/requests/json_body.h"

/// What a body is read as is what another parser reads it as. The other accepts more: depth, a key
/// that occurs twice, long numbers.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  itemcrop::service::Settings settings;
  settings.max_json_values = 1000;
  nlohmann::json body;
  bool is_read = false;
  try {
    body = itemcrop::service::parse_json(text, settings);
    is_read = true;
  } catch (const itemcrop::Error&) {
  }
  const nlohmann::json other = nlohmann::json::parse(text, nullptr, false);
  if (is_read && (other.is_discarded() || other != body)) std::abort();
  try {
    const nlohmann::json model_file = itemcrop::io::parse_json(text, {.max_values = 1000});
    if (is_read && model_file != body) std::abort();
  } catch (const itemcrop::io::JsonError&) {
    if (is_read) std::abort();
  }
  return 0;
}
