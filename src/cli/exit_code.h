#pragma once

#include "itemcrop/error.h"

namespace itemcrop::cli {

/// What the shell sees. Documented in --help and itemcrop(1).
enum ExitCode : int {
  kOk = 0,
  kSomePhotosFailed = 1,  ///< at least one photo failed; the others are written and listed
  kUsage = 2,             ///< wrong arguments; nothing was done
  kModelProblem = 3,      ///< the model is missing, broken, unsupported or fails verification
  kDeviceProblem = 4,     ///< the device or precision is not available, was lost or lacks memory
  kOutputProblem = 5,     ///< the output cannot be written
  kInternalProblem = 6,   ///< a bug in itemcrop
  kInterrupted = 130,     ///< SIGINT or SIGTERM; finished photos are written and listed
};

/// The exit code of an error that ends the whole run.
ExitCode exit_code_of(ErrorCode code) noexcept;

}  // namespace itemcrop::cli
