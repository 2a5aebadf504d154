#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>
#include <string_view>

#include "crop/base64.h"

using itemcrop::crop::base64;
using itemcrop::crop::decode_base64;

/// Any text is decoded or refused, within the bound that memory is counted by; what is encoded
/// decodes to itself.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto bytes = decode_base64(text)) {
    if (bytes->size() > itemcrop::crop::base64_decoded_bound(size)) std::abort();
    if (decode_base64(base64(*bytes)) != bytes) std::abort();
  }
  const std::span bytes(reinterpret_cast<const std::byte*>(data), size);
  const auto again = decode_base64(base64(bytes));
  if (!again || !std::equal(again->begin(), again->end(), bytes.begin(), bytes.end())) std::abort();
  return 0;
}
