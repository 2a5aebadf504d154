#pragma once

#include <exception>
#include <string>

#include "service/http/http_error.h"

namespace itemcrop::service {

/// How an error is told to a client.
struct ErrorReply {
  int status = 500;
  std::string code = "internal";  ///< openapi.json: ErrorBody.code
  std::string message;
  std::string field;            ///< empty: none
  int retry_after_seconds = 0;  ///< 0: none
};

/// Of any exception: what HttpError and Error say, and of others nothing of theirs.
ErrorReply error_reply(const std::exception_ptr& problem);

/// {"error": {...}, "detail", "request_id"}
std::string error_json(const ErrorReply& reply, const std::string& request_id);

}  // namespace itemcrop::service
