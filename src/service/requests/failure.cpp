#include "service/requests/failure.h"

#include <new>

#include "service/requests/json_answer.h"

namespace itemcrop::service {
namespace {

using Json = nlohmann::ordered_json;

int status_of(ErrorCode code) noexcept {
  switch (code) {
    case ErrorCode::kInvalidArgument:
    case ErrorCode::kCorruptImage:
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

Json body_of(const Trouble& trouble) {
  Json body = {{"code", trouble.code}, {"message", trouble.message}};
  if (!trouble.field.empty()) body["field"] = trouble.field;
  return body;
}

}  // namespace

Failure bad_field(const std::string& field, const std::string& problem) {
  return {422, ErrorCode::kInvalidArgument, field + " " + problem, field};
}

Trouble trouble_of(const std::exception_ptr& problem) {
  try {
    std::rethrow_exception(problem);
  } catch (const Failure& failure) {
    return {failure.status(), code_of(failure.status(), failure.code()), failure.what(),
            failure.field(), retry_after(failure.status())};
  } catch (const Error& error) {
    const int wait = error.retry_after_seconds();
    // Whoever says when to come back speaks of this service, not of one that it asked.
    const bool own = error.code() == ErrorCode::kUnavailable && wait > 0;
    const int status = own ? 503 : status_of(error.code());
    return {status, code_of(status, error.code()), error.what(), error.field(),
            wait > 0 ? wait : retry_after(status)};
  } catch (const std::bad_alloc&) {
    return {503, "out_of_memory", "the service is out of memory", {}, 1};
  } catch (...) {
    return {500, "internal", "an unexpected error, which the service's log describes", {}, 0};
  }
}

std::string error_json(const Trouble& trouble, const std::string& request_id) {
  return dump(
      {{"error", body_of(trouble)}, {"detail", trouble.message}, {"request_id", request_id}});
}

}  // namespace itemcrop::service
