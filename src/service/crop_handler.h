#pragma once

#include "service/readiness.h"
#include "service/request_runner.h"
#include "service/router.h"

namespace itemcrop::service {

/// /v1/detect and /v1/crop.
class CropHandler {
 public:
  struct Parts {
    const Settings& settings;
    const Readiness& readiness;
    const RequestRunner& runner;
    Pools& pools;
  };
  explicit CropHandler(Parts parts) : parts_(parts) {}

  void add_routes(Router& router);

 private:
  Reply crop(http::Request& request, RequestKind kind) const;

  Parts parts_;
};

}  // namespace itemcrop::service
