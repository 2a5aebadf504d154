#include "itemcrop/error.h"

namespace itemcrop {

std::string_view to_string(ErrorCode code) noexcept {
  switch (code) {
    case ErrorCode::kInvalidArgument:
      return "invalid_argument";
    case ErrorCode::kNotFound:
      return "not_found";
    case ErrorCode::kCorruptModel:
      return "corrupt_model";
    case ErrorCode::kUnsupportedModel:
      return "unsupported_model";
    case ErrorCode::kUnsupportedImage:
      return "unsupported_image";
    case ErrorCode::kCorruptImage:
      return "corrupt_image";
    case ErrorCode::kLimitExceeded:
      return "limit_exceeded";
    case ErrorCode::kUnsupportedDevice:
      return "unsupported_device";
    case ErrorCode::kOutOfMemory:
      return "out_of_memory";
    case ErrorCode::kDeviceLost:
      return "device_lost";
    case ErrorCode::kIo:
      return "io";
    case ErrorCode::kForbidden:
      return "forbidden";
    case ErrorCode::kDeadlineExceeded:
      return "deadline_exceeded";
    case ErrorCode::kCancelled:
      return "cancelled";
    case ErrorCode::kOverloaded:
      return "overloaded";
    case ErrorCode::kUnavailable:
      return "unavailable";
    case ErrorCode::kDraining:
      return "draining";
    case ErrorCode::kInternal:
      return "internal";
  }
  return "internal";
}

const std::string& Error::field() const noexcept {
  static const std::string none;
  return field_ ? *field_ : none;
}

Error invalid_field(const std::string& field, const std::string& problem) {
  return {ErrorCode::kInvalidArgument, field + " " + problem, field};
}

}  // namespace itemcrop
