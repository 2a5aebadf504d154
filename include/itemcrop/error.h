#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

namespace itemcrop {

/// What went wrong, coarse enough to map to an exit code or an HTTP status at the edge.
enum class ErrorCode {
  kInvalidArgument,    ///< a caller's value is out of its documented range
  kNotFound,           ///< a file or folder does not exist or cannot be opened
  kCorruptModel,       ///< a checkpoint contradicts itself or its config
  kUnsupportedModel,   ///< a well-formed checkpoint of a kind this build does not run
  kUnsupportedImage,   ///< bytes that are not one of the accepted picture formats
  kCorruptImage,       ///< an accepted format whose data is damaged
  kLimitExceeded,      ///< a documented size limit (pixels, bytes, items, tokens) is exceeded
  kUnsupportedDevice,  ///< the device or precision is not available on this machine
  kOutOfMemory,        ///< an allocation failed; the engine stays usable
  kDeviceLost,         ///< the device stopped answering; the process should be restarted
  kIo,                 ///< reading or writing failed part-way (disk full, EIO)
  kForbidden,          ///< a policy refuses it: an address, a host, a caller without rights
  kDeadlineExceeded,   ///< the time allowed for it ran out
  kCancelled,          ///< nobody waits for the answer any more
  kOverloaded,         ///< a bounded queue is full; worth trying again later
  kUnavailable,        ///< another service (a download, a store) failed or cannot be reached
  kInternal,           ///< a broken invariant: a bug in itemcrop
};

/// Stable lower-case name of a code ("corrupt_model"), as used in JSON.
std::string_view to_string(ErrorCode code) noexcept;

/// The one exception type of the library. `what()` is a full sentence that names the field (or
/// tensor, or file), the limit and the value, fit to be shown to a user as it is.
class Error : public std::runtime_error {
 public:
  Error(ErrorCode code, const std::string& message) : std::runtime_error(message), code_(code) {}

  ErrorCode code() const noexcept { return code_; }

 private:
  ErrorCode code_;
};

}  // namespace itemcrop
