#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <vector>

namespace itemcrop::test {

/// A safetensors file in memory, 8-byte aligned as the parser asks.
class SafetensorsBytes {
 public:
  /// `header` as given (padded with spaces to a multiple of 8 if `pad`), then `data_bytes` bytes
  /// that count up from 0.
  SafetensorsBytes(std::string header, std::size_t data_bytes, bool pad = true) {
    while (pad && header.size() % 8 != 0) {
      header += ' ';
    }
    std::string text(8, '\0');
    const std::uint64_t length = header.size();
    std::memcpy(text.data(), &length, sizeof(length));
    text += header;
    for (std::size_t i = 0; i < data_bytes; ++i) {
      text += static_cast<char>(i);
    }
    assign(text);
  }

  /// Any bytes.
  explicit SafetensorsBytes(const std::string& text) { assign(text); }

  std::span<const std::byte> bytes() const {
    return {reinterpret_cast<const std::byte*>(words_.data()), size_};
  }

  std::string text() const { return {reinterpret_cast<const char*>(words_.data()), size_}; }

  void write(const std::filesystem::path& file) const {
    std::ofstream(file, std::ios::binary) << text();
  }

 private:
  void assign(const std::string& text) {
    size_ = text.size();
    words_.resize(size_ / 8 + 1);
    std::memcpy(words_.data(), text.data(), size_);
  }

  std::vector<std::uint64_t> words_;
  std::size_t size_ = 0;
};

}  // namespace itemcrop::test
