#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "backend/cuda/kernels/layout.h"

/// Everything that the backend's host side asks of CUDA. Two files implement it:
/// runtime_cuda.cpp on the CUDA runtime, and emulation/runtime_emulated.cpp in plain
/// memory, where all work happens at once; so the backend above it is tested without a GPU.
///
/// Whatever fails throws Error: kOutOfMemory (nothing else is harmed), kDeviceLost (after it,
/// every call of this process on the device fails), kUnsupportedDevice or kInternal.
namespace itemcrop::cuda {

using kernels::Stream;

struct DeviceProperties {
  std::string name;  ///< "NVIDIA H100 80GB HBM3"
  int major = 0;     ///< compute capability
  int minor = 0;
  std::size_t memory_bytes = 0;
  int multiprocessors = 0;
  std::size_t cache_bytes = 0;   ///< of the second level
  std::size_t shared_bytes = 0;  ///< of shared memory that a block may have
};

/// Why this process can use no device at all ("no NVIDIA driver ..."); empty if it may.
std::string why_no_device();
int device_count();
DeviceProperties device_properties(int index);
std::string driver_version();  ///< newest CUDA that the driver runs, "13.0"

/// The calling thread's device for what follows.
void select_device(int index);

/// Memory of the selected device, or page-locked memory of the host.
enum class MemoryKind { kDevice, kPinned };

/// What parts of device memory are aligned to: whole transactions.
inline constexpr std::size_t kAlignment = 256;
constexpr std::size_t aligned(std::size_t bytes) {
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

class Memory {
 public:
  Memory() = default;
  /// Uninitialised, aligned to 256 bytes at least; null for 0 bytes.
  Memory(MemoryKind kind, std::size_t bytes);
  ~Memory();
  Memory(Memory&& other) noexcept { swap(other); }
  Memory& operator=(Memory&& other) noexcept {
    Memory(std::move(other)).swap(*this);
    return *this;
  }

  std::byte* data() const noexcept { return static_cast<std::byte*>(data_); }
  std::size_t bytes() const noexcept { return bytes_; }

 private:
  void swap(Memory& other) noexcept {
    std::swap(kind_, other.kind_);
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
  }

  MemoryKind kind_ = MemoryKind::kDevice;
  void* data_ = nullptr;
  std::size_t bytes_ = 0;
};

/// A queue of work that does not wait for other queues.
class OwnedStream {
 public:
  OwnedStream();
  ~OwnedStream();
  OwnedStream(const OwnedStream&) = delete;
  OwnedStream& operator=(const OwnedStream&) = delete;

  Stream get() const noexcept { return stream_; }

 private:
  Stream stream_ = nullptr;
};

/// Copies between pinned host memory and the device, either way; asynchronous.
void copy(Stream stream, void* to, const void* from, std::size_t bytes);
void fill_zero(Stream stream, void* to, std::size_t bytes);
/// Waits for all work in the stream, and reports what went wrong in it.
void synchronize(Stream stream);

/// A point in a stream.
class Event {
 public:
  Event();
  ~Event();
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  void record(Stream stream);
  void wait() const;  ///< on the host; at once if never recorded
  /// Later work of the stream waits for the point (cudaStreamWaitEvent).
  void make_wait(Stream stream) const;
  /// Device time between two points that have passed.
  float milliseconds_since(const Event& start) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Work recorded once and launched many times at little cost.
class Graph {
 public:
  /// `record` puts work into the stream, which is recorded and not run. It may be kept and called
  /// again, so it owns what it refers to.
  Graph(Stream stream, std::function<void()> record);
  ~Graph();
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;

  void launch(Stream stream) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace itemcrop::cuda
