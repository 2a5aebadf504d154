#pragma once

#include <string>

namespace itemcrop::image {

/// Starts libvips once per process: no operation cache, untrusted loaders blocked, its log
/// silenced. Every function of this folder calls it; call it early to choose when the cost is paid.
/// Thread-safe. Throws Error(kInternal) if libvips cannot start.
void start_vips();

/// Threads libvips uses for one image, 1 to 1024. Process-wide, as libvips has it.
/// Throws Error(kInvalidArgument).
void set_vips_threads(int threads);

/// "8.14.1", for `doctor`.
std::string libvips_version();

}  // namespace itemcrop::image
