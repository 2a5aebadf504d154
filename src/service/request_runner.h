#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "scheduler/model_registry.h"
#include "service/budgets.h"
#include "service/call.h"
#include "service/pipeline.h"
#include "service/requests/crop_request.h"
#include "taxonomy/taxonomy.h"

namespace itemcrop::service {

/// For whom and until when the work of a request is done, at most `limit` from its arrival on.
/// `stop` is the client's leaving only: make a StopAtDeadline of it.
Caller caller_of(const http::Request& request, std::optional<std::chrono::milliseconds> limit = {});

crop::CropLimits crop_limits(const Settings& settings);

/// What became of a request's images. `lease` counts the memory of their crops against
/// max_response_bytes.
struct RequestResults {
  std::vector<crop::ImageResult> images;
  Lease lease;
};

/// All images of one request, a few at a time. Thread-safe.
class RequestRunner {
 public:
  struct Parts {
    const Settings& settings;
    Pipeline& pipeline;
    Budgets& budgets;
    Pools& pools;
    std::shared_ptr<const scheduler::Scheduler> scheduler;
    std::shared_ptr<const scheduler::ModelRegistry> registry;
    std::shared_ptr<const taxonomy::Catalog> taxonomies;
    std::string better_model;  ///< one that knows more, as `models pull` takes it
  };
  explicit RequestRunner(Parts parts) : parts_(std::move(parts)) {}

  /// What is done with every image of a request. Throws Error for words that make no search.
  ImageTask task_of(const CropRequest& request, CropName name = &crop_name) const;

  /// The model that a request is for: its own, else the default.
  const std::string& model_of(const CropRequest& request) const;

  /// Lines for the caller: what the model was never taught, and which to ask instead. None with
  /// hints = false.
  std::vector<std::string> hints(const CropRequest& request,
                                 const std::vector<crop::ImageResult>& images) const;

  /// Throws Error for what is wrong with the request as a whole.
  Awaitable<RequestResults> run(const CropRequest& wanted, const Caller& caller,
                                CropName name = &crop_name) const;

 private:
  Parts parts_;
};

/// A request whose only image failed is a failed request, and so is one whose images all failed for
/// the same reason of the service's. Throws that Error.
void throw_if_all_failed(const std::vector<crop::ImageResult>& images);

}  // namespace itemcrop::service
