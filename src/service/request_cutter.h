#pragma once

#include <vector>

#include <boost/asio/thread_pool.hpp>

#include "service/budgets.h"
#include "service/call.h"
#include "service/cutter.h"

namespace itemcrop::service {

/// For whom and until when the work of a request is done.
Caller caller_of(const http::Request& request, const Settings& settings);

/// All images of one request, a few at a time.
class RequestCutter {
 public:
  struct Parts {
    const Settings& settings;
    Cutter& cutter;
    Budgets& budgets;
    const scheduler::Scheduler& scheduler;
    boost::asio::thread_pool& pool;
  };
  explicit RequestCutter(Parts parts) : parts_(parts) {}

  Awaitable<std::vector<CutImage>> cut(const http::Request& request, const CutRequest& cut) const;

 private:
  Parts parts_;
};

/// A request whose only image failed is a failed request, and so is one whose images all failed for
/// the same reason of the service's.
void throw_if_all_failed(const std::vector<CutImage>& images);

}  // namespace itemcrop::service
