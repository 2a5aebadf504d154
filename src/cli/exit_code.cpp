#include "cli/exit_code.h"

namespace itemcrop::cli {

ExitCode exit_code_of(ErrorCode code) noexcept {
  switch (code) {
    case ErrorCode::kInvalidArgument:
    case ErrorCode::kLimitExceeded:
      return kUsage;
    case ErrorCode::kNotFound:
    case ErrorCode::kCorruptModel:
    case ErrorCode::kUnsupportedModel:
      return kModelProblem;
    case ErrorCode::kUnsupportedImage:
    case ErrorCode::kCorruptImage:
    case ErrorCode::kBadImageUrl:
    case ErrorCode::kForbidden:
    case ErrorCode::kDeadlineExceeded:
    case ErrorCode::kUnavailable:
    case ErrorCode::kDraining:
      return kSomePhotosFailed;
    case ErrorCode::kUnsupportedDevice:
    case ErrorCode::kOutOfMemory:
    case ErrorCode::kDeviceLost:
      return kDeviceProblem;
    case ErrorCode::kIo:
      return kOutputProblem;
    case ErrorCode::kCancelled:
    case ErrorCode::kOverloaded:
    case ErrorCode::kInternal:
      return kInternalProblem;
  }
  return kInternalProblem;
}

}  // namespace itemcrop::cli
