#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "support/procedural_image.h"

namespace itemcrop::test {

/// A detector of the `micro` shape with procedural weights: every part of the model, in
/// milliseconds.
std::shared_ptr<const engine::Engine> micro_engine();

/// A request for `items` at a threshold that lets a few boxes through.
DetectRequest request_for(const Image& image, const std::vector<std::string>& items);

}  // namespace itemcrop::test
