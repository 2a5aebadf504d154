#pragma once

#include <string>

#include "service/async.h"
#include "service/http/message.h"

namespace itemcrop::service {

struct Route;

/// What routing and authentication found out about a request: once, when its head arrived.
struct Call : http::Context {
  const Route* route = nullptr;  ///< null: there is none for this path and method
  std::string argument;          ///< what the pattern's {} matched
  std::string owner;             ///< SHA-256 of the caller's key; empty: no keys are needed
  std::string caller;    ///< whose share of the budgets it takes: the owner, else an address
  std::string base_url;  ///< put before the paths of crops: see OriginPolicy::base_url
};

/// Of a request that was admitted.
inline const Call& call_of(const http::Request& request) {
  return static_cast<const Call&>(*request.context);
}

using Reply = Awaitable<http::Response>;

}  // namespace itemcrop::service
