#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "itemcrop/error.h"
#include "itemcrop/image.h"
#include "itemcrop/items.h"

namespace itemcrop {

/// Where a model runs.
enum class Device { kAuto, kCpu, kCuda };
/// What the image side's matrix products round their operands to.
enum class Precision { kAuto, kFp32, kBf16, kFp16 };

/// "auto", "cpu" or "cuda".
std::string_view to_string(Device device) noexcept;
/// "auto", "fp32", "bf16" or "fp16".
std::string_view to_string(Precision precision) noexcept;
/// Inverse of to_string; throws Error(kInvalidArgument) that lists the accepted words.
Device parse_device(std::string_view word);
/// Inverse of to_string; throws Error(kInvalidArgument) that lists the accepted words.
Precision parse_precision(std::string_view word);

/// One image and what to look for in it. Borrowed pixels must outlive the call.
struct DetectRequest {
  ImageView image;          ///< where to look
  std::vector<Item> items;  ///< 1 to DetectOptions::max_items
  ScoringOptions scoring;   ///< from token scores to items
};

/// Settings of one call. All are free to differ between calls on the same Model.
struct DetectOptions {
  Device device = Device::kAuto;           ///< kAuto: CUDA if a device and module exist, else CPU
  int device_index = 0;                    ///< which GPU
  Precision precision = Precision::kAuto;  ///< kAuto: the fastest the device runs natively
  int threads = 0;                         ///< CPU threads, 1 to 1024; 0: every core
  int shortest_edge = 0;  ///< resize to it, in pixels; 0: the checkpoint's preprocessor_config.json
  int longest_edge = 0;   ///< but no longer than this; 0: the checkpoint's as well
  /// The same bits in any batch. On the CPU they always are; on a GPU products keep to one
  /// algorithm for every batch, which costs some speed, and without it logits move by up to 1e-3.
  bool deterministic = false;
  int max_items = 1000;  ///< items a request may ask for
  int max_passes = 0;    ///< prompt chunks that a request's items may be split into; 0: any number
  /// Asked before each step of a call, such as a pass or the images that share one: false ends the
  /// call with Error(kCancelled). On the thread of the call; empty: never.
  std::function<bool()> keep_going = {};
};

/// Wall-clock milliseconds of one request's share of a call.
struct DetectTiming {
  double preprocess = 0;   ///< resize and normalise
  double model = 0;        ///< text, backbone, encoder, decoder; a batch's time split by tokens
  double postprocess = 0;  ///< scores to items
};

/// What was found in one request's image.
struct DetectResult {
  std::vector<Detection> detections;   ///< best first
  std::vector<std::string> not_found;  ///< items (distractors left out) without a detection
  int passes = 1;                      ///< prompt chunks the items were split into
  DetectTiming timing;                 ///< this request's share of the call
};

/// What a call computed, and on what.
struct DetectReport {
  std::vector<DetectResult> results;       ///< one a request, in order
  Device device = Device::kCpu;            ///< what actually ran
  Precision precision = Precision::kFp32;  ///< what actually ran
  std::string device_name;                 ///< "cpu (avx512_bf16)", "NVIDIA H100 80GB HBM3"
  std::size_t peak_workspace_bytes = 0;    ///< highest activation memory of this call
};

/// Bytes a call would need, known before it runs.
struct MemoryEstimate {
  std::size_t weights_bytes = 0;    ///< prepared weights, kept and shared between calls
  std::size_t workspace_bytes = 0;  ///< activations of this call, an upper bound
};

/// What a checkpoint is.
struct ModelInfo {
  std::string name;              ///< folder name
  std::string model_type;        ///< "grounding-dino" or "mm-grounding-dino"
  std::string stored_dtype;      ///< "F32", "F16", "BF16" or "mixed"
  std::int64_t parameters = 0;   ///< numbers in all tensors
  std::int64_t tensors = 0;      ///< tensors in model.safetensors
  int queries = 0;               ///< boxes that the decoder refines, the most that can be found
  int max_text_tokens = 0;       ///< of one pass, with its special tokens
  int shortest_edge = 0;         ///< images are resized to it, in pixels
  int longest_edge = 0;          ///< but no longer than this
  float threshold = 0.25F;       ///< that requests without one get
  float text_threshold = 0.25F;  ///< that requests without one get
  std::vector<std::pair<std::string, std::string>> details;  ///< sizes of each part, for people
};

/// A loaded Grounding DINO checkpoint. Const, shared and safe to use from many threads at once;
/// weights are prepared for a device and precision the first time a call asks for them.
class Model {
 public:
  /// Loads a folder in the published Hugging Face layout: config.json, model.safetensors
  /// (F32, F16 or BF16), vocab.txt or tokenizer.json, preprocessor_config.json. Or a model by name,
  /// as the command line finds it: "wardrobe", the embedded one; "llmdet-tiny", "OWNER/NAME" or
  /// "OWNER/NAME@REVISION" in the Hugging Face cache; a subfolder of a folder in $ITEMCROP_MODELS.
  /// A name goes before a folder of the working directory that is called the same; "./wardrobe" is
  /// the folder. Downloads nothing.
  /// Throws Error: kNotFound (file, or no such name: lists those there are), kCorruptModel (names
  /// the tensor or field), kUnsupportedModel (names the field and value).
  static std::shared_ptr<const Model> load(const std::filesystem::path& folder_or_name);

  virtual ~Model() = default;
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;

  /// What was loaded.
  virtual const ModelInfo& info() const noexcept = 0;

  /// Finds every request's items. Images of different sizes and different prompts may be mixed;
  /// each answer is the same as alone (on the CPU bit for bit). Throws Error; nothing is returned
  /// for any request then.
  virtual DetectReport detect(std::span<const DetectRequest> requests,
                              const DetectOptions& options = {}) const = 0;

  /// The same for one request.
  DetectResult detect(const DetectRequest& request, const DetectOptions& options = {}) const {
    return std::move(detect(std::span(&request, 1), options).results.front());
  }

  /// Prepares weights for a device and precision, so that the first detect() does not pay for it.
  virtual void prepare(const DetectOptions& options = {}) const = 0;

  /// The number of passes that these items take; runs no model. Throws what detect() would throw
  /// for them.
  virtual int count_passes(std::span<const Item> items,
                           const DetectOptions& options = {}) const = 0;

  /// What detect() would need for these requests, found by a dry run of the model.
  virtual MemoryEstimate estimate(std::span<const DetectRequest> requests,
                                  const DetectOptions& options = {}) const = 0;

 protected:
  Model() = default;
};

/// One device this process could use, for `doctor` and for choosing.
struct DeviceInfo {
  Device device = Device::kCpu;  ///< never kAuto
  int index = 0;                 ///< DetectOptions::device_index
  std::string name;              ///< "cpu", or the GPU's name
  bool usable = false;           ///< whether detect() can run there
  std::string detail;            ///< instruction sets, memory and driver, or why it is not usable
  std::vector<Precision> precisions;  ///< those it can run
};

/// Every device seen on this machine, usable or not; never throws for a missing driver.
std::vector<DeviceInfo> list_devices();

}  // namespace itemcrop
