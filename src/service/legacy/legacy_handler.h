#pragma once

#include <memory>

#include "service/legacy/analyzer.h"
#include "service/readiness.h"
#include "service/request_runner.h"
#include "service/router.h"

namespace itemcrop::service::legacy {

/// The HTTP contract of the replaced backend: /, /debug, /crop, /analyze.
class LegacyHandler {
 public:
  struct Parts {
    const Settings& settings;
    const Readiness& readiness;
    const RequestRunner& runner;
    Analyzer& analyzer;
    std::shared_ptr<scheduler::ModelRegistry> registry;
    Pools& pools;
  };
  explicit LegacyHandler(Parts parts) : parts_(std::move(parts)) {}

  void add_routes(Router& router);

 private:
  Reply status() const;
  Reply debug() const;
  Reply crop(http::Request& request) const;
  Reply analyze(http::Request& request) const;

  Parts parts_;
};

}  // namespace itemcrop::service::legacy
