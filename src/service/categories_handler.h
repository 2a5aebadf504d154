#pragma once

#include <memory>

#include "scheduler/model_registry.h"
#include "service/router.h"
#include "taxonomy/taxonomy.h"

namespace itemcrop::service {

/// /v1/categories: the words that `categories` of a request may hold.
class CategoriesHandler {
 public:
  struct Parts {
    std::shared_ptr<const scheduler::ModelRegistry> registry;
    std::shared_ptr<const taxonomy::Catalog> taxonomies;
  };
  explicit CategoriesHandler(Parts parts) : parts_(std::move(parts)) {}

  void add_routes(Router& router);

 private:
  Reply categories() const;

  Parts parts_;
};

}  // namespace itemcrop::service
