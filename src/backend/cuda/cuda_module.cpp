// Finds and opens libitemcrop_cuda.so, once a process and only where there is a driver, so that the
// program runs the same on machines without a GPU.
#include <cstdlib>
#include <filesystem>
#include <string>
#include <utility>

#include <dlfcn.h>

#include "itemcrop/error.h"

#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/module.h"

namespace itemcrop::cuda {
namespace {

namespace fs = std::filesystem;

/// The module, or why there is none; and its devices, which do not change while a process runs.
struct Loaded {
  const Module* module = nullptr;
  std::vector<DeviceInfo> devices;
};

std::string last_error() {
  const char* message = dlerror();
  return message != nullptr ? message : "unknown error";
}

/// ITEMCROP_CUDA_MODULE, or beside the program or the library that holds this code, or in the
/// places where installing puts it. Never the current folder or the linker's search path.
std::vector<fs::path> candidates() {
  if (const char* given = std::getenv("ITEMCROP_CUDA_MODULE")) {
    return *given == '\0' ? std::vector<fs::path>{} : std::vector<fs::path>{given};
  }
  std::vector<fs::path> folders;
  std::error_code ignored;
  Dl_info here{};
  if (dladdr(reinterpret_cast<const void*>(&list_devices), &here) != 0 &&
      here.dli_fname != nullptr) {
    folders.push_back(fs::canonical(here.dli_fname, ignored).parent_path());
  }
  folders.push_back(fs::read_symlink("/proc/self/exe", ignored).parent_path());
  std::vector<fs::path> result;
  for (const fs::path& folder : folders) {
    if (folder.empty()) continue;
    result.push_back(folder / kModuleFile);
    result.push_back(folder.parent_path() / "lib" / "itemcrop" / kModuleFile);
    result.push_back(folder.parent_path() / ITEMCROP_LIBRARY_FOLDER / "itemcrop" / kModuleFile);
  }
  return result;
}

/// It stays open: the module is about to need it.
bool driver_exists() { return dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL) != nullptr; }

/// Throws Error(kUnsupportedDevice) with the reason.
const Module* open_module() {
  const auto refuse = [](const std::string& why) {
    throw Error(ErrorCode::kUnsupportedDevice, why);
  };
  std::error_code ignored;
  fs::path path;
  for (const fs::path& candidate : candidates()) {
    if (path.empty() && fs::exists(candidate, ignored)) path = candidate;
  }
  if (path.empty()) {
    refuse(std::string("this program came without its CUDA module (") + kModuleFile + ")");
  }
  if (!driver_exists()) refuse("there is no NVIDIA driver (libcuda.so.1)");
  // Never closed: backends made by it may live until the process ends.
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) refuse("the CUDA module cannot be loaded: " + last_error());
  const auto entry = reinterpret_cast<ModuleEntry>(dlsym(library, kModuleEntry));
  if (entry == nullptr) refuse(path.string() + " is not itemcrop's CUDA module");
  const Module* module = entry();
  if (std::string_view(module->build) != kModuleBuild) {
    refuse(path.string() + " is of another build (" + module->build + ")");
  }
  return module;
}

const Loaded& loaded() {
  static const Loaded instance = [] {
    Loaded result;
    try {
      result.module = open_module();
      result.devices = result.module->devices();
    } catch (const Error& error) {
      result.devices = {{.device = Device::kCuda,
                         .index = 0,
                         .name = "cuda",
                         .usable = false,
                         .detail = error.what(),
                         .precisions = {}}};
    }
    return result;
  }();
  return instance;
}

}  // namespace

std::vector<DeviceInfo> list_devices() { return loaded().devices; }

std::shared_ptr<const ops::Backend> make_cuda_backend(int index, Precision precision,
                                                      bool deterministic) {
  const Loaded& cuda = loaded();
  if (cuda.module == nullptr) {
    throw Error(ErrorCode::kUnsupportedDevice,
                "device \"cuda\" cannot be used: " + cuda.devices.front().detail);
  }
  return cuda.module->make_backend(index, precision, deterministic);
}

}  // namespace itemcrop::cuda
