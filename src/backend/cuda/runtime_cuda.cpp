#include <cuda_runtime_api.h>

#include "itemcrop/error.h"

#include "backend/cuda/runtime.h"
#include "backend/cuda/runtime_check.h"

namespace itemcrop::cuda {
namespace {

cudaStream_t native(Stream stream) { return reinterpret_cast<cudaStream_t>(stream); }

std::string version_text(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

bool ends_the_context(cudaError_t status) {
  switch (status) {
    case cudaErrorIllegalAddress:
    case cudaErrorIllegalInstruction:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorHardwareStackError:
    case cudaErrorLaunchFailure:
    case cudaErrorLaunchTimeout:
    case cudaErrorAssert:
    case cudaErrorECCUncorrectable:
    case cudaErrorNvlinkUncorrectable:
    case cudaErrorDevicesUnavailable:
    case cudaErrorUnknown:
      return true;
    default:
      return false;
  }
}

}  // namespace

void check(cudaError_t status, const char* action) {
  if (status == cudaSuccess) return;
  cudaGetLastError();  // an error that does not end the context must not be found again later
  ErrorCode code = ErrorCode::kInternal;
  if (status == cudaErrorMemoryAllocation) {
    code = ErrorCode::kOutOfMemory;
  } else if (ends_the_context(status)) {
    code = ErrorCode::kDeviceLost;
  } else if (status == cudaErrorNoKernelImageForDevice || status == cudaErrorInvalidDevice ||
             status == cudaErrorUnsupportedPtxVersion || status == cudaErrorNoDevice ||
             status == cudaErrorInsufficientDriver) {
    code = ErrorCode::kUnsupportedDevice;
  }
  throw Error(code, std::string("GPU: ") + action + ": " + cudaGetErrorString(status));
}

std::string why_no_device() {
  int driver = 0;
  if (cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0) {
    cudaGetLastError();
    return "there is no NVIDIA driver (libcuda.so.1)";
  }
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status == cudaErrorInsufficientDriver) {
    cudaGetLastError();
    return "the NVIDIA driver runs CUDA up to " + version_text(driver) + ", this build needs " +
           version_text(CUDART_VERSION / 1000 * 1000);
  }
  if (status != cudaSuccess) {
    cudaGetLastError();
    return cudaGetErrorString(status);
  }
  return count == 0 ? "the NVIDIA driver sees no GPU" : "";
}

int device_count() {
  int count = 0;
  check(cudaGetDeviceCount(&count), "count devices");
  return count;
}

DeviceProperties device_properties(int index) {
  cudaDeviceProp native_properties{};
  check(cudaGetDeviceProperties(&native_properties, index), "read the device's properties");
  return {.name = native_properties.name,
          .major = native_properties.major,
          .minor = native_properties.minor,
          .memory_bytes = native_properties.totalGlobalMem,
          .multiprocessors = native_properties.multiProcessorCount,
          .cache_bytes = static_cast<std::size_t>(native_properties.l2CacheSize),
          .shared_bytes = native_properties.sharedMemPerBlockOptin};
}

std::string driver_version() {
  int driver = 0;
  check(cudaDriverGetVersion(&driver), "read the driver's version");
  return version_text(driver);
}

void select_device(int index) { check(cudaSetDevice(index), "select the device"); }

Memory::Memory(MemoryKind kind, std::size_t bytes) : kind_(kind), bytes_(bytes) {
  if (bytes == 0) return;
  const cudaError_t status =
      kind == MemoryKind::kDevice ? cudaMalloc(&data_, bytes) : cudaMallocHost(&data_, bytes);
  const std::string action = "allocate " + std::to_string(bytes) + " bytes of " +
                             (kind == MemoryKind::kDevice ? "device" : "page-locked") + " memory";
  check(status, action.c_str());
}

Memory::~Memory() {
  if (data_ == nullptr) return;
  // Nothing can be done about a failure here, and the next call reports a lost device.
  if (kind_ == MemoryKind::kDevice) {
    cudaFree(data_);
  } else {
    cudaFreeHost(data_);
  }
}

OwnedStream::OwnedStream() {
  cudaStream_t stream = nullptr;
  check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "create a stream");
  stream_ = reinterpret_cast<Stream>(stream);
}

OwnedStream::~OwnedStream() { cudaStreamDestroy(native(stream_)); }

void copy(Stream stream, void* to, const void* from, std::size_t bytes) {
  if (bytes == 0) return;
  check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, native(stream)), "copy");
}

void fill_zero(Stream stream, void* to, std::size_t bytes) {
  if (bytes == 0) return;
  check(cudaMemsetAsync(to, 0, bytes, native(stream)), "fill");
}

void synchronize(Stream stream) {
  check(cudaStreamSynchronize(native(stream)), "wait for the device");
}

struct Event::State {
  cudaEvent_t event = nullptr;
};

Event::Event() : state_(std::make_unique<State>()) {
  check(cudaEventCreate(&state_->event), "create an event");
}

Event::~Event() { cudaEventDestroy(state_->event); }

void Event::record(Stream stream) {
  check(cudaEventRecord(state_->event, native(stream)), "record an event");
}

void Event::wait() const { check(cudaEventSynchronize(state_->event), "wait for an event"); }

void Event::make_wait(Stream stream) const {
  check(cudaStreamWaitEvent(native(stream), state_->event, 0), "wait for an event in a stream");
}

float Event::milliseconds_since(const Event& start) const {
  float milliseconds = 0;
  check(cudaEventElapsedTime(&milliseconds, start.state_->event, state_->event), "read events");
  return milliseconds;
}

struct Graph::State {
  cudaGraphExec_t executable = nullptr;
};

Graph::Graph(Stream stream, std::function<void()> record) : state_(std::make_unique<State>()) {
  check(cudaStreamBeginCapture(native(stream), cudaStreamCaptureModeThreadLocal), "begin a graph");
  cudaGraph_t graph = nullptr;
  try {
    record();
  } catch (...) {
    cudaStreamEndCapture(native(stream), &graph);
    cudaGetLastError();
    if (graph != nullptr) cudaGraphDestroy(graph);
    throw;
  }
  check(cudaStreamEndCapture(native(stream), &graph), "end a graph");
  const cudaError_t status = cudaGraphInstantiate(&state_->executable, graph, 0);
  cudaGraphDestroy(graph);
  check(status, "instantiate a graph");
}

Graph::~Graph() { cudaGraphExecDestroy(state_->executable); }

void Graph::launch(Stream stream) const {
  check(cudaGraphLaunch(state_->executable, native(stream)), "launch a graph");
}

}  // namespace itemcrop::cuda

namespace itemcrop::cuda::kernels {

void throw_launch_error(int error, const char* kernel) {
  check(static_cast<cudaError_t>(error), kernel);
  throw Error(ErrorCode::kInternal, std::string("GPU: ") + kernel + ": unknown error");
}

}  // namespace itemcrop::cuda::kernels
