#include "service/requests/error_reply.h"

#include <new>

#include "service/requests/json_answer.h"

namespace itemcrop::service {
namespace {

using Json = nlohmann::ordered_json;

int http_status(ErrorCode code) noexcept {
  switch (code) {
    case ErrorCode::kInvalidArgument:
    case ErrorCode::kCorruptImage:
    case ErrorCode::kBadImageUrl:
      return 422;
    case ErrorCode::kForbidden:
      return 403;
    case ErrorCode::kNotFound:
      return 404;
    case ErrorCode::kLimitExceeded:
      return 413;
    case ErrorCode::kUnsupportedImage:
      return 415;
    case ErrorCode::kOverloaded:
      return 429;
    case ErrorCode::kUnavailable:
      return 502;
    case ErrorCode::kOutOfMemory:
    case ErrorCode::kDeviceLost:
    case ErrorCode::kUnsupportedDevice:
    case ErrorCode::kCancelled:
    case ErrorCode::kDraining:
      return 503;
    case ErrorCode::kDeadlineExceeded:
      return 504;
    case ErrorCode::kCorruptModel:
    case ErrorCode::kUnsupportedModel:
    case ErrorCode::kIo:
    case ErrorCode::kInternal:
      return 500;
  }
  return 500;
}

/// Statuses whose code in answers is not the library's.
std::string code_of(int status, ErrorCode code) {
  switch (status) {
    case 401:
      return "unauthorized";
    case 405:
      return "method_not_allowed";
    case 408:
      return "request_timeout";
    case 409:
      return "conflict";
    case 411:
      return "length_required";
    case 501:
      return "not_implemented";
    default:
      break;
  }
  if (status == 415 && code != ErrorCode::kUnsupportedImage) return "unsupported_media_type";
  return std::string(to_string(code));
}

int retry_after(int status) noexcept { return status == 429 || status == 503 ? 1 : 0; }

Json body_of(const ErrorReply& reply) {
  Json body = {{"code", reply.code}, {"message", reply.message}};
  if (!reply.field.empty()) body["field"] = reply.field;
  return body;
}

}  // namespace

ErrorReply error_reply(const std::exception_ptr& problem) {
  try {
    std::rethrow_exception(problem);
  } catch (const http::HttpError& error) {
    return {error.status(), code_of(error.status(), error.code()), error.what(), error.field(),
            retry_after(error.status())};
  } catch (const Error& error) {
    const int wait = error.retry_after_seconds();
    // Whoever says when to come back speaks of this service, not of one that it asked.
    const bool own = error.code() == ErrorCode::kUnavailable && wait > 0;
    const int status = own ? 503 : http_status(error.code());
    return {status, code_of(status, error.code()), error.what(), error.field(),
            wait > 0 ? wait : retry_after(status)};
  } catch (const std::bad_alloc&) {
    return {503, "out_of_memory", "the service is out of memory", {}, 1};
  } catch (...) {
    return {500, "internal", "an unexpected error, which the service's log describes", {}, 0};
  }
}

std::string error_json(const ErrorReply& reply, const std::string& request_id) {
  return dump({{"error", body_of(reply)}, {"detail", reply.message}, {"request_id", request_id}});
}

}  // namespace itemcrop::service
