#pragma once

#include <string>
#include <vector>

namespace itemcrop::taxonomy {

/// What is sent to a vision-language model.
struct VlmRequest {
  std::string model;
  std::vector<std::string> categories;
  std::string image_url;  ///< data:image/jpeg;base64,...
  int max_tokens = 2000;
  bool plain = false;  ///< leave out what some servers do not know: response_format, max_tokens
};

/// The JSON body of a /v1/chat/completions request.
std::string vlm_request_body(const VlmRequest& request);

}  // namespace itemcrop::taxonomy
