#pragma once

#include <memory>
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
  kUnsupportedImage,   ///< bytes that are not one of the accepted image formats
  kCorruptImage,       ///< an accepted format whose data is damaged
  kLimitExceeded,      ///< a documented size limit (pixels, bytes, items, tokens) is exceeded
  kUnsupportedDevice,  ///< the device or precision is not available on this machine
  kOutOfMemory,        ///< an allocation failed; the engine stays usable
  kDeviceLost,         ///< the device stopped answering; the process should be restarted
  kIo,                 ///< reading or writing failed part-way (disk full, EIO)
  kForbidden,          ///< a policy refuses it: an address, a host, a caller without rights
  kDeadlineExceeded,   ///< the time allowed for it ran out
  kCancelled,          ///< the caller cancelled the call
  kOverloaded,         ///< a bounded queue is full; worth trying again later
  kBadImageUrl,  ///< an address that gives no image, whenever it is asked: no such file or name
  kUnavailable,  ///< another service (a download, a store) failed or cannot be reached, or a
                 ///< model is not ready
  kDraining,     ///< the process is shutting down and begins nothing new
  kInternal,     ///< a broken invariant: a bug in itemcrop
};

/// Stable lower-case name of a code ("corrupt_model"), as used in JSON.
std::string_view to_string(ErrorCode code) noexcept;

/// The one exception type of the library, also kept as a value in results. `what()` is a full
/// sentence that names the field (or tensor, or file), the limit and the value, fit to be shown to
/// a user as it is. Copying does not throw.
class Error : public std::runtime_error {
 public:
  /// `field`: the request's field that is wrong, as a path; empty: none.
  Error(ErrorCode code, const std::string& message, const std::string& field = {})
      : std::runtime_error(message),
        code_(code),
        field_(field.empty() ? nullptr : std::make_shared<const std::string>(field)) {}

  /// What went wrong.
  ErrorCode code() const noexcept { return code_; }

  /// The request's field that is wrong, as a path ("items[2].threshold"); empty: none.
  const std::string& field() const noexcept;

  /// When it is worth trying again, in seconds; 0: not known.
  int retry_after_seconds() const noexcept { return retry_after_seconds_; }

  /// The same error with a time to try again.
  Error with_retry_after(int seconds) const {
    Error copy = *this;
    copy.retry_after_seconds_ = seconds;
    return copy;
  }

 private:
  ErrorCode code_;
  std::shared_ptr<const std::string> field_;  // shared, so that copying cannot fail
  int retry_after_seconds_ = 0;
};

/// kInvalidArgument for a value that does not fit its field; the message is "FIELD PROBLEM".
Error invalid_field(const std::string& field, const std::string& problem);

}  // namespace itemcrop
