#include "io/safetensors.h"

#include <algorithm>
#include <bit>
#include <unordered_map>

#include "itemcrop/error.h"

#include "io/file.h"
#include "io/safetensors_header.h"

namespace itemcrop::io {
namespace {

static_assert(std::endian::native == std::endian::little, "safetensors data is little-endian");

constexpr std::size_t kLengthBytes = 8;

std::uint64_t header_length(std::span<const std::byte> bytes, const std::string& origin) {
  if (bytes.size() < kLengthBytes) {
    throw Error(ErrorCode::kCorruptModel, origin + ": truncated: " + std::to_string(bytes.size()) +
                                              " bytes, a header length needs 8");
  }
  std::uint64_t length = 0;
  for (std::size_t i = 0; i < kLengthBytes; ++i) {
    length |= static_cast<std::uint64_t>(bytes[i]) << (8 * i);
  }
  if (length > kMaxSafetensorsHeaderBytes) {
    throw Error(ErrorCode::kCorruptModel, origin + ": header of " + std::to_string(length) +
                                              " bytes, the limit is " +
                                              std::to_string(kMaxSafetensorsHeaderBytes));
  }
  if (length > bytes.size() - kLengthBytes) {
    throw Error(ErrorCode::kCorruptModel,
                origin + ": truncated: the header needs " + std::to_string(length) + " bytes, " +
                    std::to_string(bytes.size() - kLengthBytes) + " follow its length");
  }
  return length;
}

/// Entries must tile the data section: no gap, no overlap, nothing after the last.
void check_layout(const std::vector<HeaderEntry>& entries, std::size_t data_bytes,
                  std::size_t data_start, const std::string& origin) {
  std::uint64_t expected = 0;
  for (const HeaderEntry& entry : entries) {
    const std::string tensor = origin + ": tensor '" + entry.name + "': ";
    if (entry.begin != expected) {
      throw Error(ErrorCode::kCorruptModel,
                  tensor + "data begins at " + std::to_string(entry.begin) + ", expected " +
                      std::to_string(expected) + " (data must be contiguous)");
    }
    if (entry.end > data_bytes) {
      throw Error(ErrorCode::kCorruptModel, tensor + "data ends at " + std::to_string(entry.end) +
                                                ", the file holds " + std::to_string(data_bytes) +
                                                " bytes of data (truncated?)");
    }
    // Writers pad the header so that this holds; kernels then read the mapped data in place.
    if ((data_start + entry.begin) % size_of(entry.dtype) != 0) {
      throw Error(ErrorCode::kCorruptModel, tensor + "data is not aligned to its " +
                                                std::to_string(size_of(entry.dtype)) +
                                                "-byte elements");
    }
    expected = entry.end;
  }
  if (expected != data_bytes) {
    throw Error(ErrorCode::kCorruptModel, origin + ": " + std::to_string(data_bytes - expected) +
                                              " bytes after the last tensor's data");
  }
}

class SafetensorsSource : public TensorSource {
 public:
  SafetensorsSource(std::span<const std::byte> bytes, std::string origin)
      : origin_(std::move(origin)) {
    if (reinterpret_cast<std::uintptr_t>(bytes.data()) % alignof(std::uint64_t) != 0) {
      throw Error(ErrorCode::kInvalidArgument, origin_ + ": the bytes must be 8-byte aligned");
    }
    const std::size_t length = header_length(bytes, origin_);
    const std::string_view json(reinterpret_cast<const char*>(bytes.data()) + kLengthBytes, length);
    std::vector<HeaderEntry> entries = parse_safetensors_header(json, origin_);
    std::stable_sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) {
      return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
    });
    const std::span<const std::byte> data = bytes.subspan(kLengthBytes + length);
    check_layout(entries, data.size(), kLengthBytes + length, origin_);
    tensors_.reserve(entries.size());
    for (HeaderEntry& entry : entries) {
      tensors_.push_back({std::move(entry.name), entry.dtype, std::move(entry.shape),
                          data.data() + entry.begin,
                          static_cast<std::size_t>(entry.end - entry.begin)});
    }
    for (const StoredTensor& tensor : tensors_) {
      by_name_.emplace(tensor.name, &tensor);
    }
  }

  const StoredTensor* find(std::string_view name) const override {
    const auto found = by_name_.find(name);
    return found == by_name_.end() ? nullptr : found->second;
  }

  std::vector<std::string_view> names() const override {
    std::vector<std::string_view> names;
    names.reserve(tensors_.size());
    for (const StoredTensor& tensor : tensors_) {
      names.push_back(tensor.name);
    }
    return names;
  }

  const std::string& origin() const noexcept override { return origin_; }

 private:
  std::string origin_;
  std::vector<StoredTensor> tensors_;
  std::unordered_map<std::string_view, const StoredTensor*> by_name_;
};

/// Owns the mapping; a base class, so that it is there before the tensors that point into it.
class Mapping {
 protected:
  explicit Mapping(const std::filesystem::path& file) : file_(file) {}
  MappedFile file_;
};

class MappedSource final : private Mapping, public SafetensorsSource {
 public:
  explicit MappedSource(const std::filesystem::path& file)
      : Mapping(file), SafetensorsSource(file_.bytes(), file.string()) {}

  void release_pages(const StoredTensor& tensor) const override {
    file_.release({tensor.data, tensor.bytes});
  }
};

}  // namespace

std::unique_ptr<TensorSource> open_safetensors(const std::filesystem::path& file) {
  return std::make_unique<MappedSource>(file);
}

std::unique_ptr<TensorSource> parse_safetensors(std::span<const std::byte> bytes,
                                                std::string origin) {
  return std::make_unique<SafetensorsSource>(bytes, std::move(origin));
}

}  // namespace itemcrop::io
