#pragma once

#include <string>
#include <string_view>

namespace itemcrop::store {

/// A key is one or more names separated by '/', each of letters, digits, '-', '_' and '.', not
/// beginning with '.', at most 255 bytes a name and 900 bytes in all. So it needs no encoding in a
/// URL and cannot leave a folder. Throws Error(kInvalidArgument).
void check_key(std::string_view key);

/// The same as an answer.
bool is_key(std::string_view key) noexcept;

/// By the ending: "image/jpeg", "image/png", "image/webp", "application/json", "application/zip";
/// "application/octet-stream" for others.
std::string_view content_type_of(std::string_view key) noexcept;

}  // namespace itemcrop::store
