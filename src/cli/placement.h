#pragma once

#include <string>

#include "itemcrop/model.h"

namespace itemcrop::cli {

/// Sets device and device_index from "auto", "cpu", "cuda" or "cuda:N". Throws
/// Error(kInvalidArgument) with what `field` must be.
void place_on(const std::string& word, const std::string& field, DetectOptions& options);

}  // namespace itemcrop::cli
