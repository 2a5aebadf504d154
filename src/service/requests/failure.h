#pragma once

#include <exception>
#include <string>
#include <utility>

#include "service/http/http_error.h"

namespace itemcrop::service {

using Failure = http::HttpError;

/// 422 kInvalidArgument: a value that does not fit its field. The message starts with the field.
Failure bad_field(const std::string& field, const std::string& problem);

/// What any exception means to a client.
struct Trouble {
  int status = 500;
  std::string code = "internal";  ///< openapi.json: ErrorBody.code
  std::string message;            ///< of unexpected exceptions: nothing of theirs
  std::string field;              ///< empty: none
  int retry_after_seconds = 0;    ///< 0: none
};
Trouble trouble_of(const std::exception_ptr& problem);

/// {"error": {...}, "detail", "request_id"}
std::string error_json(const Trouble& trouble, const std::string& request_id);

}  // namespace itemcrop::service
