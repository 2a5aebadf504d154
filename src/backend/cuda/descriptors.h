#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "backend/cuda/executor.h"

/// How the executor puts descriptors on the device; for its own files.
namespace itemcrop::cuda {

template <class T>
CudaExecutor::Array<T> CudaExecutor::staged(std::span<const T> values) {
  const auto size = static_cast<std::int64_t>(values.size());
  // A dry run's arrays are never read.
  if (is_dry_run()) return {reinterpret_cast<const T*>(alignof(T)), size};
  return {staging_.put(values), size};
}

template <class Value, class Make>
const Value& CudaExecutor::cached(std::string key, const Make& make) {
  std::shared_ptr<const void>& entry = descriptor_cache_[std::move(key)];
  if (entry == nullptr) entry = std::make_shared<const Value>(make());
  return *static_cast<const Value*>(entry.get());
}

/// Appends plain values to a key of cached().
template <class T>
std::string& operator<<(std::string& key, std::span<const T> values) {
  const auto count = values.size();
  key.append(reinterpret_cast<const char*>(&count), sizeof(count));
  if (!values.empty()) {
    key.append(reinterpret_cast<const char*>(values.data()), values.size_bytes());
  }
  return key;
}
template <class T>
std::string& operator<<(std::string& key, const std::vector<T>& values) {
  return key << std::span<const T>(values);
}
inline std::string& operator<<(std::string& key, std::int64_t value) {
  return key << std::span<const std::int64_t>(&value, 1);
}

}  // namespace itemcrop::cuda
