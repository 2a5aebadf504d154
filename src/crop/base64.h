#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace itemcrop::crop {

/// Standard alphabet with padding, no line breaks.
std::string base64(std::span<const std::byte> bytes);

/// Bytes that a text of this length decodes to, at most.
constexpr std::size_t base64_decoded_bound(std::size_t length) { return length / 4 * 3 + 3; }

/// Tolerates a data-URL prefix, white space, the URL-safe alphabet and missing padding; none for
/// anything else.
std::optional<std::vector<std::byte>> decode_base64(std::string_view text);

}  // namespace itemcrop::crop
