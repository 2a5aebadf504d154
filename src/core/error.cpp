#include "itemcrop/error.h"

#include "core/enum_names.h"

namespace itemcrop {

std::string_view to_string(ErrorCode code) noexcept {
  static constexpr EnumNames<ErrorCode::kInternal> kNames(
      "invalid_argument", "not_found", "corrupt_model", "unsupported_model", "unsupported_image",
      "corrupt_image", "limit_exceeded", "unsupported_device", "out_of_memory", "device_lost", "io",
      "forbidden", "deadline_exceeded", "cancelled", "overloaded", "bad_image_url", "unavailable",
      "draining", "internal");
  return kNames[code];
}

const std::string& Error::field() const noexcept {
  static const std::string none;
  return field_ ? *field_ : none;
}

Error invalid_field(const std::string& field, const std::string& problem) {
  return {ErrorCode::kInvalidArgument, field + " " + problem, field};
}

}  // namespace itemcrop
