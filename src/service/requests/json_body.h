#pragma once

#include <cstdint>
#include <stop_token>
#include <string_view>

#include <nlohmann/json.hpp>

#include "core/budget.h"
#include "service/http/message.h"
#include "service/requests/settings.h"

namespace itemcrop::service {

/// Reads a request's body, or a part of it, in linear time and within max_json_depth and
/// max_json_values: a second copy of its texts and `kJsonBytesPerValue` for every value are the
/// most that it takes. Throws http::HttpError: 400 for what is not JSON (NaN, broken UTF-8, numbers
/// out of range and a key twice in an object included) or is nested too deep, 413 for too many
/// values, and Error(kCancelled) once `stop` stops.
nlohmann::json parse_json(std::string_view text, const Settings& settings,
                          const std::stop_token& stop = {});

/// The most that a value takes beside its texts: an entry of an object with its key.
inline constexpr std::int64_t kJsonBytesPerValue = 192;

/// While it lives, what a request's body is parsed to counts as part of the body.
class ParsingRoom {
 public:
  /// Throws Error(kOverloaded), naming max_buffered_bytes, if there is none now.
  ParsingRoom(const http::Request& request, const Settings& settings);
  ~ParsingRoom();
  ParsingRoom(const ParsingRoom&) = delete;
  ParsingRoom& operator=(const ParsingRoom&) = delete;

 private:
  Lease* lease_;
  std::int64_t bytes_ = 0;
};

}  // namespace itemcrop::service
