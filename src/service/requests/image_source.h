#pragma once

#include <memory>
#include <string>
#include <variant>

#include "crop/result.h"

namespace itemcrop::service {

/// An image to be had: by URL, or sent along.
struct ImageSource {
  std::string id;  ///< the client's name for it, else its position
  std::variant<std::string, std::shared_ptr<const crop::Bytes>> from;
};

}  // namespace itemcrop::service
