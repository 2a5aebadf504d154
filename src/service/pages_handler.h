#pragma once

#include <memory>
#include <string>
#include <vector>

#include <boost/asio/thread_pool.hpp>

#include "service/budgets.h"
#include "service/requests/settings.h"
#include "service/router.h"
#include "store/local_store.h"

namespace itemcrop::service {

/// The pages that are part of the program, and stored crops.
class PagesHandler {
 public:
  struct Parts {
    const Settings& settings;
    Budgets& budgets;
    std::shared_ptr<const store::LocalStore> files;  ///< null: crops are elsewhere
    boost::asio::thread_pool& pool;                  ///< reads files
  };
  explicit PagesHandler(Parts parts);

  void add_routes(Router& router);

 private:
  Reply embedded(const http::Request& request) const;
  Reply file(const http::Request& request, const Call& call) const;

  Parts parts_;
  std::vector<http::Response::SharedBytes> contents_;  // of embedded_files(), shared by responses
};

}  // namespace itemcrop::service
