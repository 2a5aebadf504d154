#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <utility>

#include "scheduler/device_id.h"
#include "scheduler/model_registry.h"

namespace itemcrop::scheduler {

/// Moving averages of how long calls take, by model name (a reload keeps them) and device. Not
/// thread-safe.
class ServiceTimes {
 public:
  struct Average {
    double per_image = 0;  ///< seconds; 0: not known
    double per_call = 0;   ///< seconds; 0: not known
  };

  void add(const std::string& model, const DeviceId& device, std::size_t images, double seconds) {
    if (images == 0) return;
    Average& average = averages_[{model, device}];
    blend(average.per_image, seconds / static_cast<double>(images));
    blend(average.per_call, seconds);
  }

  /// Before the first call: what the warm-up took.
  Average find(const std::string& model, const Replica& replica) const {
    const auto found = averages_.find({model, replica.device});
    if (found != averages_.end()) return found->second;
    return {replica.warm_seconds, replica.warm_seconds};
  }

 private:
  /// Weight of the newest call: about the last ten count.
  static constexpr double kNewest = 0.2;

  static void blend(double& average, double value) {
    average = average == 0 ? value : (1 - kNewest) * average + kNewest * value;
  }

  std::map<std::pair<std::string, DeviceId>, Average> averages_;
};

}  // namespace itemcrop::scheduler
