#pragma once

#include <stop_token>

#include "itemcrop/error.h"

namespace itemcrop {

/// Long work calls this between its steps. A token that stops at a deadline too is how callers give
/// one; they know whether it has passed.
inline void throw_if_stopped(const std::stop_token& stop) {
  if (stop.stop_requested()) {
    throw Error(ErrorCode::kCancelled, "cancelled: nobody waits for the result any more");
  }
}

}  // namespace itemcrop
