// The runtime in plain memory: all work happens at once, on the calling thread.
#include <algorithm>
#include <chrono>
#include <cstring>

#include <sys/mman.h>
#include <unistd.h>

#include "itemcrop/error.h"

#include "backend/cuda/emulation/devices.h"
#include "backend/cuda/emulation/faults.h"
#include "backend/cuda/runtime.h"

namespace itemcrop::cuda {
namespace {

constexpr std::size_t kAlignment = 256;
/// NaN in every floating point type, and no valid index.
constexpr int kPoison = 0xFF;
/// How much of an allocation starts as poison: touching whole arenas would take most of a test.
constexpr std::size_t kPoisonedBytes = std::size_t{1} << 20;

std::size_t rounded_up(std::size_t bytes, std::size_t step) {
  return (bytes + step - 1) / step * step;
}

/// An allocation's pages, between two that must not be touched, and ending at the second: what lies
/// next in memory would hide most accesses beyond the end. Arenas are much larger than what tests
/// use of them; pages that nobody touches cost nothing.
struct Pages {
  explicit Pages(std::size_t bytes)
      : guard(static_cast<std::size_t>(sysconf(_SC_PAGESIZE))),
        usable(rounded_up(bytes, guard)),
        offset(guard + usable - rounded_up(bytes, kAlignment)) {}

  void* map() const {
    void* const all = mmap(nullptr, usable + 2 * guard, PROT_NONE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (all == MAP_FAILED) return nullptr;
    auto* const begin = static_cast<std::byte*>(all);
    if (mprotect(begin + guard, usable, PROT_READ | PROT_WRITE) != 0) {
      munmap(all, usable + 2 * guard);
      return nullptr;
    }
    return begin + offset;
  }
  void unmap(void* data) const {
    munmap(static_cast<std::byte*>(data) - offset, usable + 2 * guard);
  }

  std::size_t guard;
  std::size_t usable;
  std::size_t offset;  ///< of what is allocated
};

/// Counts device memory; false if there is not as much.
bool reserve(std::size_t bytes) {
  const std::size_t limit = emulation::memory_limit;
  std::size_t used = emulation::memory_used;
  do {
    if (bytes > limit || used > limit - bytes) return false;
  } while (!emulation::memory_used.compare_exchange_weak(used, used + bytes));
  return true;
}

void fail_if_lost() {
  if (emulation::device_lost)
    throw Error(ErrorCode::kDeviceLost, "GPU: the emulated device is lost");
}

}  // namespace

std::string why_no_device() { return ""; }
int device_count() { return emulation::kDevices; }

DeviceProperties device_properties(int /*index*/) {
  return {.name = "emulated GPU",
          .major = 9,
          .minor = 0,
          .memory_bytes = std::size_t{1} << 30,
          .multiprocessors = 2,
          .cache_bytes = std::size_t{1} << 20,
          .shared_bytes = std::size_t{16} << 10};
}

std::string driver_version() { return "emulated"; }
void select_device(int index) {
  fail_if_lost();
  emulation::selected_device = index;
}

Memory::Memory(MemoryKind kind, std::size_t bytes) : kind_(kind), bytes_(bytes) {
  fail_if_lost();
  if (bytes == 0) return;
  if (kind == MemoryKind::kDevice && !reserve(bytes)) {
    throw Error(ErrorCode::kOutOfMemory, "GPU: allocate " + std::to_string(bytes) +
                                             " bytes of device memory: out of memory");
  }
  data_ = Pages(bytes).map();
  if (data_ == nullptr) {
    if (kind == MemoryKind::kDevice) emulation::memory_used -= bytes;
    throw Error(ErrorCode::kOutOfMemory, "GPU: out of host memory");
  }
  std::memset(data_, kPoison, std::min(bytes, kPoisonedBytes));
}

Memory::~Memory() {
  if (data_ == nullptr) return;
  if (kind_ == MemoryKind::kDevice) emulation::memory_used -= bytes_;
  Pages(bytes_).unmap(data_);
}

OwnedStream::OwnedStream() : stream_(new emulation::StreamOfDevice{emulation::selected_device}) {}
OwnedStream::~OwnedStream() { delete static_cast<emulation::StreamOfDevice*>(stream_); }

void copy(Stream stream, void* to, const void* from, std::size_t bytes) {
  fail_if_lost();
  emulation::require_selected(stream, "copy");
  if (bytes != 0) std::memcpy(to, from, bytes);
}

void fill_zero(Stream stream, void* to, std::size_t bytes) {
  fail_if_lost();
  emulation::require_selected(stream, "fill");
  if (bytes != 0) std::memset(to, 0, bytes);
}

void synchronize(Stream /*stream*/) { fail_if_lost(); }
struct Event::State {
  std::chrono::steady_clock::time_point time;
};

Event::Event() : state_(std::make_unique<State>()) {}
Event::~Event() = default;
void Event::record(Stream stream) {
  emulation::require_selected(stream, "record an event");
  state_->time = std::chrono::steady_clock::now();
}
void Event::wait() const { fail_if_lost(); }
void Event::make_wait(Stream /*stream*/) const { fail_if_lost(); }
float Event::milliseconds_since(const Event& start) const {
  return std::chrono::duration<float, std::milli>(state_->time - start.state_->time).count();
}

struct Graph::State {
  std::function<void()> record;
};

Graph::Graph(Stream stream, std::function<void()> record)
    : state_(std::make_unique<State>(State{std::move(record)})) {
  emulation::require_selected(stream, "record a graph");
  if (emulation::graphs_fail) throw Error(ErrorCode::kInternal, "GPU: end a graph: refused");
}
Graph::~Graph() = default;
void Graph::launch(Stream stream) const {
  fail_if_lost();
  emulation::require_selected(stream, "launch a graph");
  state_->record();
}

}  // namespace itemcrop::cuda
