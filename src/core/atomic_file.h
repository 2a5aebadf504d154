#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string_view>

namespace itemcrop {

/// Writes a file so that it is seen whole or not at all, also after a crash: a temporary file in
/// the same folder, fsync, rename over `path`, fsync of the folder. An existing file is replaced
/// and keeps its old content on failure; the temporary file is removed.
/// Throws Error: kNotFound (the folder does not exist), kIo (names the path and the cause).
void write_file_atomically(const std::filesystem::path& path, std::span<const std::byte> bytes);
void write_file_atomically(const std::filesystem::path& path, std::string_view text);

/// A name beside `path` for what will be renamed over it: nobody else's, in any thread or process,
/// and however long `path`'s own name is.
std::filesystem::path temporary_name(const std::filesystem::path& path);

}  // namespace itemcrop
