#pragma once

#include <string>

#include <nlohmann/json.hpp>

#include "service/http/message.h"

namespace itemcrop::service {

/// Compact, broken UTF-8 replaced.
std::string dump(const nlohmann::ordered_json& json);

http::Response json_response(const nlohmann::ordered_json& json, int status = 200);

}  // namespace itemcrop::service
