#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace itemcrop::hub {

/// True for what the hub names files by: the SHA-256 of a large file's content (64 hex digits), or
/// git's SHA-1 of a small one (40).
bool is_content_hash(std::string_view text) noexcept;

/// True if the file's content has that hash. Throws Error(kIo): it cannot be read.
bool file_matches(const std::filesystem::path& path, const std::string& hash);

}  // namespace itemcrop::hub
