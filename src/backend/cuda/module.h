#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "itemcrop/model.h"
#include "itemcrop/version.h"

#include "ops/backend.h"

/// The seam between the program and libitemcrop_cuda.so. Both are built from one source by one
/// compiler; `build` holds what must be equal for their classes to be the same.
namespace itemcrop::cuda {

inline constexpr char kModuleBuild[] = "itemcrop " ITEMCROP_VERSION ", interface 2, " __VERSION__;
inline constexpr char kModuleFile[] = "libitemcrop_cuda.so";
inline constexpr char kModuleEntry[] = "itemcrop_cuda_module";

struct Module {
  const char* build;
  std::vector<DeviceInfo> (*devices)();  ///< never throws
  std::shared_ptr<const ops::Backend> (*make_backend)(int index, Precision precision,
                                                      bool deterministic);
};

/// Of the one exported function, `extern "C" const Module* itemcrop_cuda_module()`.
using ModuleEntry = const Module* (*)();

}  // namespace itemcrop::cuda
