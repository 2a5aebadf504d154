#pragma once

#include <string>

#include "itemcrop/error.h"

namespace itemcrop::service::http {

/// An error with a status that no ErrorCode maps to, because only HTTP has it: 400, 401, 405, 408,
/// 411, 415 ... Everything else is an Error, whose status the edge knows.
class HttpError : public Error {
 public:
  HttpError(int status, ErrorCode code, const std::string& message, const std::string& field = {})
      : Error(code, message, field), status_(status) {}

  int status() const noexcept { return status_; }

 private:
  int status_;
};

}  // namespace itemcrop::service::http
