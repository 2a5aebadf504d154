#pragma once

#include <functional>
#include <stop_token>

#include <vips/vips.h>

#include "core/stop.h"

namespace itemcrop::image {

/// While it lives, a token that stops ends the evaluation of a vips image: the operation that asks
/// for its pixels fails before the next strip. Ask `throw_if_stopped` then for the reason.
class VipsStop {
 public:
  VipsStop(VipsImage* image, const std::stop_token& stop)
      : callback_(stop, [image] { vips_image_set_kill(image, TRUE); }) {}

 private:
  std::stop_callback<std::function<void()>> callback_;
};

}  // namespace itemcrop::image
