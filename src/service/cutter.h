#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include <boost/asio/thread_pool.hpp>

#include "fetch/fetch.h"
#include "image/picture.h"
#include "scheduler/scheduler.h"
#include "service/async.h"
#include "service/requests/cut_request.h"
#include "service/requests/failure.h"
#include "store/store.h"
#include "taxonomy/plan.h"

namespace itemcrop::service {

class Metrics;

/// For whom work is done, and until when.
struct Caller {
  scheduler::Priority priority = scheduler::Priority::kInteractive;
  std::optional<std::chrono::steady_clock::time_point> deadline;
  std::stop_token gone;  ///< stops at the deadline too
  std::string base_url;  ///< put before the URLs of crops that this service serves itself
};

/// Wall-clock milliseconds of one picture.
struct CutTiming {
  double fetch = 0, decode = 0, queue = 0, preprocess = 0, model = 0, postprocess = 0, encode = 0,
         store = 0;
};

struct CropFile {
  std::string name;  ///< file name
  std::string url;   ///< where it was stored; empty: it was not
  std::string content_type;
  std::shared_ptr<const Bytes> bytes;  ///< kept unless it was stored
  int width = 0, height = 0;
};

struct CutItem {
  Detection detection;
  std::string category;     ///< empty: asked for as an item
  std::string prompt;       ///< words that found it
  std::string description;  ///< empty: none was made
  std::optional<CropFile> crop;
};

struct CutImage {
  std::string id;
  int width = 0, height = 0;  ///< 0: not decoded
  std::vector<CutItem> items;
  std::vector<std::string> not_found;
  std::optional<Trouble> error;
  CutTiming timing;
  std::string model, device = "auto", precision = "auto";  ///< what ran
};

/// A picture in memory, with the bytes it came from.
struct LoadedPicture {
  std::shared_ptr<const Bytes> bytes;
  std::shared_ptr<const image::Picture> picture;
};

/// Where requests become answers: download, decode, find in one model pass, cut, store. Every step
/// that blocks runs on a pool. Thread-safe.
class Cutter {
 public:
  struct Parts {
    const Settings& settings;
    std::shared_ptr<scheduler::ModelRegistry> registry;
    std::shared_ptr<scheduler::Scheduler> scheduler;
    std::shared_ptr<const taxonomy::Catalog> taxonomies;
    std::shared_ptr<const fetch::Fetcher> fetcher;
    std::shared_ptr<store::Store> store;  ///< null: none, crops are answered as base64
    std::shared_ptr<Metrics> metrics;
    boost::asio::thread_pool& work_pool;   ///< decoding, encoding: processor time
    boost::asio::thread_pool& fetch_pool;  ///< other services: waiting
  };

  explicit Cutter(Parts parts) : parts_(std::move(parts)) {}

  /// Never throws for what is wrong with the picture or its turn: that is CutImage::error.
  Awaitable<CutImage> cut(const ImageSource& source, const CutRequest& request,
                          const Caller& caller);

  // The steps, for POST /analyze. These throw.
  Awaitable<std::shared_ptr<const Bytes>> fetch(const ImageSource& source, const Caller& caller,
                                                CutTiming& timing);
  Awaitable<LoadedPicture> decode(std::shared_ptr<const Bytes> bytes, CutTiming& timing);
  Awaitable<scheduler::Outcome> find(const LoadedPicture& picture, const std::string& model,
                                     std::vector<Item> items, const ScoringOptions& scoring,
                                     const Caller& caller, CutTiming& timing);
  /// Cuts, encodes and stores (or keeps) the crops of `image.items`.
  Awaitable<void> make_crops(const LoadedPicture& picture, const CutRequest& request,
                             const Caller& caller, CutImage& image);

  const taxonomy::Taxonomy& taxonomy_for(const std::string& model) const;
  const Parts& parts() const noexcept { return parts_; }

 private:
  Awaitable<void> cut_into(const ImageSource& source, const CutRequest& request,
                           const Caller& caller, CutImage& image);

  Parts parts_;
};

}  // namespace itemcrop::service
