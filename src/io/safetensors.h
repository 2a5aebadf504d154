#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <string>

#include "io/tensor_source.h"

namespace itemcrop::io {

/// Longest accepted header, as in the format's own implementation.
inline constexpr std::size_t kMaxSafetensorsHeaderBytes = 100'000'000;

/// Maps a .safetensors file and checks all of it but the values: header length and JSON, no name
/// twice, known element types, sizes without overflow, data contiguous from the first byte after
/// the header to the last byte of the file. The file must not be shortened while it is open.
/// Throws Error: kNotFound (cannot be opened), kCorruptModel (names the file and the tensor).
/// Source: https://github.com/huggingface/safetensors, "Format".
std::unique_ptr<TensorSource> open_safetensors(const std::filesystem::path& file);

/// The same over borrowed bytes, which must outlive the source. `origin` names them in messages.
std::unique_ptr<TensorSource> parse_safetensors(std::span<const std::byte> bytes,
                                                std::string origin);

/// The checkpoint of a published folder: model.safetensors, or the shards that
/// model.safetensors.index.json lists (each in the same folder, each tensor in the shard that the
/// index says). Throws Error: kNotFound when neither exists, kCorruptModel.
std::unique_ptr<TensorSource> open_checkpoint(const std::filesystem::path& folder);

}  // namespace itemcrop::io
