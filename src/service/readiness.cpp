#include "service/readiness.h"

#include <algorithm>

#include "service/requests/error_reply.h"

namespace itemcrop::service {

std::string Readiness::reason() const {
  if (draining_) return "draining";
  if (device_lost_) return "a device was lost";
  for (const scheduler::ModelStatus& model : registry_->status()) {
    if (model.state != scheduler::ModelState::kReady) {
      return "model '" + model.name + "' is " + std::string(to_string(model.state));
    }
  }
  for (const scheduler::DeviceStatus& device : scheduler_->status().devices) {
    if (!device.healthy) return to_string(device.id) + " is not healthy";
  }
  const bool stores = store_monitor_ == nullptr || store_monitor_->error().empty();
  return stores ? "" : "crops cannot be stored; the log says why";
}

bool Readiness::is_loading(const std::string& model) const {
  const std::string& name = model.empty() ? registry_->default_name() : model;
  const std::vector<scheduler::ModelStatus> models = registry_->status();
  return std::any_of(models.begin(), models.end(), [&](const scheduler::ModelStatus& each) {
    return each.name == name && each.state == scheduler::ModelState::kLoading;
  });
}

void Readiness::check_model(const std::string& name) const {
  try {
    registry_->get(name);
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kNotFound)
      throw http::HttpError(404, error.code(), error.what(), "model");
    throw http::HttpError(503, error.code(), error.what());
  }
}

}  // namespace itemcrop::service
