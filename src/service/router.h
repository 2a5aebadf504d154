#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "service/call.h"

namespace itemcrop::service {

enum class Access { kOpen, kKey };
/// What a route costs: nothing, a body, or a body and the model.
enum class Cost { kNone, kBody, kModel };

struct Route {
  std::string_view method;
  std::string_view pattern;  ///< "{}" matches one segment, "{*}" the rest
  Access access = Access::kKey;
  Cost cost = Cost::kNone;
  std::function<Reply(http::Request&, const Call&)> handle;
};

/// The table of routes. Filled once, then only read.
class Router {
 public:
  void add(Route route) { routes_.push_back(std::move(route)); }

  struct Match {
    const Route* route = nullptr;
    std::string argument;         ///< what {} or {*} stands for
    std::string allowed_methods;  ///< of the path, if it exists with other methods only
  };
  /// HEAD is answered by GET's route.
  Match match(std::string_view method, std::string_view path) const;

 private:
  std::vector<Route> routes_;
};

}  // namespace itemcrop::service
