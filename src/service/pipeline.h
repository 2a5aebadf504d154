#pragma once

#include <chrono>
#include <exception>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>

#include "core/budget.h"
#include "crop/make_crops.h"
#include "crop/result.h"
#include "crop/search.h"
#include "fetch/fetch.h"
#include "image/image.h"
#include "image/limits.h"
#include "scheduler/scheduler.h"
#include "service/async.h"
#include "service/pools.h"
#include "service/requests/image_source.h"
#include "store/store.h"

namespace itemcrop::service {

class Metrics;

/// For whom images are processed, and until when.
struct Caller {
  std::string name;  ///< whose share of the budgets is used: a key's digest, else an address
  scheduler::Priority priority = scheduler::Priority::kInteractive;
  std::optional<std::chrono::steady_clock::time_point> deadline;
  std::stop_token stop;  ///< the client left or the deadline passed
  std::string base_url;  ///< put before the URLs of crops that this service serves itself
};

/// Any exception as an error; unexpected ones give nothing of theirs away.
Error error_of(const std::exception_ptr& problem);

/// A decoded image, with the memory that it holds.
struct LoadedImage {
  std::shared_ptr<const image::Image> pixels;
  Lease lease;
};

/// How crops are named: `stem` is a slug of the image's id, `number` counts from 1.
using CropName = std::string (*)(const std::string& stem, int number, const crop::FoundItem& item,
                                 image::Format format);
/// "look_01_navy-blazer.jpg"
std::string crop_name(const std::string& stem, int number, const crop::FoundItem& item,
                      image::Format format);

/// What is done with every image of a request.
struct ImageTask {
  std::string model;  ///< empty: the default
  crop::Search search;
  bool crops = false;
  bool store = true;  ///< crops go to the store, if there is one
  image::CropOptions crop;
  int preview = 0;  ///< longest side of ImageResult::preview, in pixels; 0: none
  CropName crop_name = &service::crop_name;
};

/// The library's steps as the service runs them: each on the pool that it belongs to, within the
/// budgets, until nobody waits any more. Thread-safe.
class Pipeline {
 public:
  struct Parts {
    image::Limits limits;
    std::shared_ptr<scheduler::Scheduler> scheduler;
    std::shared_ptr<const fetch::Fetcher> fetcher;
    std::shared_ptr<store::Store> store;  ///< null: none, crops keep their bytes
    std::shared_ptr<Metrics> metrics;
    Budget& downloads;  ///< bytes of files being downloaded, and until they are decoded
    Budget& decoding;   ///< bytes of images being decoded and held
    Pools& pools;
  };

  explicit Pipeline(Parts parts) : parts_(std::move(parts)) {}

  /// All steps. Never throws for what is wrong with the image: that is ImageResult::error.
  Awaitable<crop::ImageResult> process(const ImageSource& source, const ImageTask& task,
                                       crop::CropQuota& quota, const Caller& caller);

  // The steps one by one, for whoever has something to do in between. All throw Error; with
  // kDeadlineExceeded where the deadline was the reason to stop.
  Awaitable<std::shared_ptr<const crop::Bytes>> fetch(const ImageSource& source,
                                                      const Caller& caller, crop::Timing& timing);
  Awaitable<LoadedImage> decode(std::shared_ptr<const crop::Bytes> bytes, const Caller& caller,
                                crop::Timing& timing);
  /// Detects, selects, describes, crops and stores; fills `result`.
  Awaitable<void> find(const LoadedImage& image, const ImageTask& task, crop::CropQuota& quota,
                       const Caller& caller, crop::ImageResult& result);

 private:
  Awaitable<scheduler::Outcome> detect(const LoadedImage& image, const ImageTask& task,
                                       const Caller& caller);
  Awaitable<void> store(const Caller& caller, crop::ImageResult& result);
  /// What a download may come to, before its size is known.
  std::int64_t max_download() const;
  /// Waits for room. Throws Error as Budget::wait.
  static Awaitable<Lease> wait_for(Budget& budget, std::int64_t amount, const Caller& caller);

  Parts parts_;
};

}  // namespace itemcrop::service
