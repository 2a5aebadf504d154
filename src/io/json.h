#pragma once

#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

namespace itemcrop::io {

/// Parses a JSON object strictly: UTF-8, no key twice in an object, nesting of at most 64.
/// Throws Error(kCorruptModel); `origin` (a file name) starts the message.
nlohmann::json parse_json_object(std::string_view text, const std::string& origin);

}  // namespace itemcrop::io
