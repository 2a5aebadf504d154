#pragma once

#include <optional>
#include <string>
#include <vector>

#include "itemcrop/model.h"

#include "cli/expected_values.h"
#include "image/image.h"

namespace itemcrop::cli {

/// One device and precision put to work.
struct SelfTest {
  Device device = Device::kCpu;
  int device_index = 0;
  Precision precision = Precision::kFp32;
  std::string device_name;
  bool passed = false;
  std::string problem;    ///< what went wrong; empty if passed
  double first_ms = 0;    ///< first call on the drawn image, weights prepared on the way
  double steady_ms = 0;   ///< the same call again
  bool compared = false;  ///< expected detections were compared as well
};

/// Runs a drawn image twice (the answers must be equal and sane) and, where the model has
/// expected values and their photo is there, compares with those. Never throws for what the device
/// does.
SelfTest test_device(const Model& model, const DeviceInfo& device, Precision precision, int threads,
                     const std::optional<ExpectedValues>& expected);

/// The first thing wrong with an answer for an image of that size; empty if nothing is: scores in
/// (0, 1], boxes ordered and inside, as LabelMode::kItems promises.
std::string find_nonsense(const std::vector<Detection>& detections, int width, int height);

}  // namespace itemcrop::cli
