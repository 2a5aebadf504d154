#include "service/requests/json_answer.h"

namespace itemcrop::service {

std::string dump(const nlohmann::ordered_json& json) {
  return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

http::Response json_response(const nlohmann::ordered_json& json, int status) {
  http::Response response;
  response.status = status;
  response.body = dump(json);
  return response;
}

}  // namespace itemcrop::service
