// itemcrop._engine: the public C++ API for Python. Only numbers, strings and arrays cross; what
// users see is in python/itemcrop.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/string_view.h>
#include <nanobind/stl/vector.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "itemcrop/itemcrop.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace itemcrop {
namespace {

using Pixels = nb::ndarray<const std::uint8_t, nb::shape<-1, -1, 3>, nb::device::cpu>;

/// Raises the class of itemcrop.errors that stands for the error's code.
void raise(const Error& error) {
  const nb::object instance =
      nb::module_::import_("itemcrop.errors")
          .attr("from_engine")(std::string(to_string(error.code())), error.what(), error.field(),
                               error.retry_after_seconds());
  PyErr_SetObject(instance.type().ptr(), instance.ptr());
}

void translate(const std::exception_ptr& thrown, void*) {
  try {
    std::rethrow_exception(thrown);
  } catch (const Error& error) {
    raise(error);
  }
}

/// The only thread on which Python handles signals.
bool is_main_thread() { return syscall(SYS_gettid) == getpid(); }

ImageView view_of(const Pixels& pixels, std::size_t index) {
  const auto height = static_cast<std::ptrdiff_t>(pixels.shape(0));
  const auto width = static_cast<std::ptrdiff_t>(pixels.shape(1));
  const bool rows_fit = height <= 1 || pixels.stride(0) >= 3 * width;
  if (!rows_fit || pixels.stride(1) != 3 || pixels.stride(2) != 1) {
    throw Error(ErrorCode::kInvalidArgument,
                "images[" + std::to_string(index) + "]: pixels of a row must lie end to end");
  }
  constexpr std::ptrdiff_t kMaxSide = 1 << 20;  // the engine's, which names the field and the value
  return {pixels.data(), static_cast<int>(std::min(width, kMaxSide + 1)),
          static_cast<int>(std::min(height, kMaxSide + 1)), height > 1 ? pixels.stride(0) : 0};
}

/// A numpy array that owns `values`.
template <class T>
nb::object to_array(std::vector<T> values, std::initializer_list<std::size_t> shape) {
  auto owned = std::make_unique<std::vector<T>>(std::move(values));
  T* const data = owned->data();
  const nb::capsule owner(
      owned.release(), [](void* vector) noexcept { delete static_cast<std::vector<T>*>(vector); });
  return nb::cast(nb::ndarray<nb::numpy, T>(data, shape, owner));
}

nb::dict to_dict(const DetectResult& result, std::size_t items) {
  const std::size_t count = result.detections.size();
  std::vector<float> boxes;
  std::vector<float> scores;
  std::vector<std::int32_t> indices;
  std::vector<float> item_scores;
  nb::list labels;
  for (const Detection& detection : result.detections) {
    boxes.insert(boxes.end(),
                 {detection.box.x0, detection.box.y0, detection.box.x1, detection.box.y1});
    scores.push_back(detection.score);
    indices.push_back(detection.item_index);
    for (const ItemScore& of_item : detection.scores) item_scores.push_back(of_item.score);
    labels.append(detection.item);
  }
  nb::dict made;
  made["boxes"] = to_array(std::move(boxes), {count, 4});
  made["scores"] = to_array(std::move(scores), {count});
  made["item_ids"] = to_array(std::move(indices), {count});
  made["item_scores"] = to_array(std::move(item_scores), {count, items});
  made["labels"] = labels;
  made["not_found"] = result.not_found;
  made["passes"] = result.passes;
  made["timing_ms"] =
      nb::make_tuple(result.timing.preprocess, result.timing.model, result.timing.postprocess);
  return made;
}

std::vector<DetectRequest> requests_of(const std::vector<Pixels>& images,
                                       const std::vector<std::vector<Item>>& items,
                                       const ScoringOptions& scoring) {
  if (items.size() != 1 && items.size() != images.size()) {
    throw Error(ErrorCode::kInvalidArgument, "items: " + std::to_string(items.size()) +
                                                 " lists for " + std::to_string(images.size()) +
                                                 " images");
  }
  std::vector<DetectRequest> requests;
  requests.reserve(images.size());
  for (std::size_t i = 0; i < images.size(); ++i) {
    requests.push_back({view_of(images[i], i), items.size() == 1 ? items[0] : items[i], scoring});
  }
  return requests;
}

/// (what ran, a dict an image). Other Python threads run meanwhile, and Ctrl-C ends the call.
nb::tuple detect(const Model& model, const std::vector<Pixels>& images,
                 const std::vector<std::vector<Item>>& items, const ScoringOptions& scoring,
                 DetectOptions options) {
  const std::vector<DetectRequest> requests = requests_of(images, items, scoring);
  bool interrupted = false;
  if (is_main_thread()) {
    options.keep_going = [&interrupted] {
      const nb::gil_scoped_acquire held;
      interrupted = PyErr_CheckSignals() != 0;
      return !interrupted;
    };
  }
  DetectReport report;
  try {
    const nb::gil_scoped_release released;
    report = model.detect(requests, options);
  } catch (const Error&) {
    if (interrupted) throw nb::python_error();
    throw;
  }
  nb::list results;
  for (std::size_t i = 0; i < report.results.size(); ++i) {
    results.append(to_dict(report.results[i], requests[i].items.size()));
  }
  return nb::make_tuple(to_string(report.device), to_string(report.precision), report.device_name,
                        report.peak_workspace_bytes, results);
}

nb::tuple estimate(const Model& model, const std::vector<Pixels>& images,
                   const std::vector<std::vector<Item>>& items, const ScoringOptions& scoring,
                   const DetectOptions& options) {
  const std::vector<DetectRequest> requests = requests_of(images, items, scoring);
  const nb::gil_scoped_release released;
  const MemoryEstimate needed = model.estimate(requests, options);
  const nb::gil_scoped_acquire held;
  return nb::make_tuple(needed.weights_bytes, needed.workspace_bytes);
}

nb::dict info_of(const Model& model) {
  const ModelInfo& info = model.info();
  nb::dict made;
  made["name"] = info.name;
  made["model_type"] = info.model_type;
  made["stored_dtype"] = info.stored_dtype;
  made["parameters"] = info.parameters;
  made["tensors"] = info.tensors;
  made["queries"] = info.queries;
  made["max_text_tokens"] = info.max_text_tokens;
  made["shortest_edge"] = info.shortest_edge;
  made["longest_edge"] = info.longest_edge;
  made["threshold"] = info.threshold;
  made["text_threshold"] = info.text_threshold;
  nb::dict details;
  for (const auto& [name, value] : info.details) details[name.c_str()] = value;
  made["details"] = details;
  return made;
}

nb::list devices() {
  nb::list made;
  for (const DeviceInfo& info : list_devices()) {
    nb::list precisions;
    for (const Precision precision : info.precisions) precisions.append(to_string(precision));
    nb::dict device;
    device["device"] = to_string(info.device);
    device["index"] = info.index;
    device["name"] = info.name;
    device["usable"] = info.usable;
    device["detail"] = info.detail;
    device["precisions"] = precisions;
    made.append(device);
  }
  return made;
}

void bind_requests(nb::module_& module) {
  nb::class_<Item>(module, "Item")
      .def(
          "__init__",
          [](Item* made, std::string prompt, std::optional<float> threshold,
             std::optional<int> count, bool distractor, bool is_caption) {
            new (made) Item{.prompt = std::move(prompt),
                            .threshold = threshold,
                            .count = count,
                            .distractor = distractor,
                            .is_caption = is_caption};
          },
          "prompt"_a, "threshold"_a.none(), "count"_a.none(), "distractor"_a, "is_caption"_a);
  nb::class_<ScoringOptions>(module, "ScoringOptions")
      .def(
          "__init__",
          [](ScoringOptions* made, bool tokens, std::optional<float> threshold,
             std::optional<float> text_threshold, std::optional<int> count, float nms_iou,
             float containment, bool suppress) {
            new (made) ScoringOptions{.labels = tokens ? LabelMode::kTokens : LabelMode::kItems,
                                      .count = count,
                                      .nms_iou = nms_iou,
                                      .containment = containment,
                                      .suppress = suppress};
            if (threshold) made->threshold = *threshold;
            if (text_threshold) made->text_threshold = *text_threshold;
          },
          "tokens"_a, "threshold"_a.none(), "text_threshold"_a.none(), "count"_a.none(),
          "nms_iou"_a, "containment"_a, "suppress"_a);
  nb::class_<DetectOptions>(module, "DetectOptions")
      .def(
          "__init__",
          [](DetectOptions* made, std::string_view device, int device_index,
             std::string_view precision, int threads, int shortest_edge, int longest_edge,
             bool deterministic) {
            new (made) DetectOptions{.device = parse_device(device),
                                     .device_index = device_index,
                                     .precision = parse_precision(precision),
                                     .threads = threads,
                                     .shortest_edge = shortest_edge,
                                     .longest_edge = longest_edge,
                                     .deterministic = deterministic};
          },
          "device"_a, "device_index"_a, "precision"_a, "threads"_a, "shortest_edge"_a,
          "longest_edge"_a, "deterministic"_a);
}

}  // namespace
}  // namespace itemcrop

NB_MODULE(_engine, module) {
  using namespace itemcrop;
  nb::register_exception_translator(translate);
  module.attr("VERSION") = ITEMCROP_VERSION;
  bind_requests(module);
  nb::class_<Model>(module, "Model")
      .def_static("load",
                  [](const std::string& folder) {
                    const nb::gil_scoped_release released;
                    return Model::load(folder);
                  })
      .def("info", info_of)
      .def("detect", detect, "images"_a, "items"_a, "scoring"_a, "options"_a)
      .def("estimate", estimate, "images"_a, "items"_a, "scoring"_a, "options"_a)
      .def("prepare", &Model::prepare, nb::call_guard<nb::gil_scoped_release>())
      .def("count_passes",
           [](const Model& model, const std::vector<Item>& items, const DetectOptions& options) {
             return model.count_passes(items, options);
           });
  module.def("devices", devices);
}
