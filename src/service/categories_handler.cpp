#include "service/categories_handler.h"

#include <nlohmann/json.hpp>

#include "service/requests/json_answer.h"

namespace itemcrop::service {
namespace {

using Json = nlohmann::ordered_json;

/// A category or a group of kinds.
Json entry(const std::string& name, const std::vector<std::string>& aliases,
           const std::vector<std::size_t>& kinds, const taxonomy::Taxonomy& taxonomy) {
  Json names = Json::array();
  for (const std::size_t kind : kinds) names.push_back(taxonomy.kinds[kind].name);
  return {{"name", name}, {"aliases", aliases}, {"kinds", std::move(names)}};
}

}  // namespace

void CategoriesHandler::add_routes(Router& router) {
  router.add({"GET", "/v1/categories", Access::kKey, Cost::kNone,
              [this](http::Request&, const Call&) { return categories(); }});
}

Reply CategoriesHandler::categories() const {
  Json models = Json::array();
  for (const scheduler::ModelStatus& model : parts_.registry->status()) {
    const taxonomy::Taxonomy& taxonomy = parts_.taxonomies->for_model(model.name);
    Json categories = Json::array();
    for (const taxonomy::Category& category : taxonomy.categories) {
      categories.push_back(entry(category.name, category.aliases, category.kinds, taxonomy));
    }
    for (const taxonomy::Group& group : taxonomy.groups) {
      categories.push_back(entry(group.name, group.aliases, group.kinds, taxonomy));
    }
    models.push_back({{"model", model.name},
                      {"taxonomy", taxonomy.name},
                      {"categories", std::move(categories)}});
  }
  co_return json_response({{"models", std::move(models)}});
}

}  // namespace itemcrop::service
