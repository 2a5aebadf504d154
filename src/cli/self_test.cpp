#include "cli/self_test.h"

#include <algorithm>
#include <exception>
#include <filesystem>
#include <span>
#include <system_error>

#include "cli/test_image.h"
#include "cli/words.h"
#include "core/stopwatch.h"
#include "core/words.h"
#include "image/decode.h"

namespace itemcrop::cli {
namespace {

bool same_answer(const std::vector<Detection>& a, const std::vector<Detection>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const Detection& x, const Detection& y) {
                      return x.item == y.item && x.score == y.score && x.box.x0 == y.box.x0 &&
                             x.box.y0 == y.box.y0 && x.box.x1 == y.box.x1 && x.box.y1 == y.box.y1;
                    });
}

DetectRequest drawn_request(const TestImage& image) {
  DetectRequest request;
  request.image = image.view();
  for (const char* prompt : {"shirt", "pants"}) {
    request.items.emplace_back();
    request.items.back().prompt = prompt;
  }
  request.scoring.threshold = 0.05F;  // low, so that there is an answer to look at
  return request;
}

/// Why the expected values are not met; empty if they are.
std::string compare(const Model& model, const ExpectedValues& expected,
                    const DetectOptions& options) {
  const image::Image photo = image::decode_file(expected.photo);
  for (const ComparedCase& c : compare_with_expected(model, expected, photo.view(), options)) {
    if (!c.passed()) {
      return "detections of \"" + join(c.expected.items) +
             "\" differ from the expected ones; run 'itemcrop verify' for details";
    }
  }
  return "";
}

bool photo_is_here(const std::optional<ExpectedValues>& expected) {
  std::error_code ignored;
  return expected && !expected->photo.empty() && std::filesystem::exists(expected->photo, ignored);
}

}  // namespace

std::string find_nonsense(const std::vector<Detection>& detections, int width, int height) {
  for (const Detection& detection : detections) {
    const Box& box = detection.box;
    if (!(detection.score > 0 && detection.score <= 1)) {
      return "score " + fixed(detection.score, 4) + " of '" + detection.item + "'";
    }
    const bool inside = box.x0 >= 0 && box.y0 >= 0 && box.x1 <= static_cast<float>(width) &&
                        box.y1 <= static_cast<float>(height);
    if (!inside || !(box.x0 <= box.x1 && box.y0 <= box.y1)) {
      return "a box of '" + detection.item + "' leaves the image";
    }
  }
  return "";
}

SelfTest test_device(const Model& model, const DeviceInfo& device, Precision precision, int threads,
                     const std::optional<ExpectedValues>& expected) {
  SelfTest test;
  test.device = device.device;
  test.device_index = device.index;
  test.precision = precision;
  test.device_name = device.name;
  DetectOptions options;
  options.device = device.device;
  options.device_index = device.index;
  options.precision = precision;
  options.threads = threads;
  try {
    const TestImage image;
    const DetectRequest request = drawn_request(image);
    const Stopwatch first;
    const DetectReport cold = model.detect(std::span(&request, 1), options);
    test.first_ms = first.milliseconds();
    const Stopwatch second;
    const DetectReport warm = model.detect(std::span(&request, 1), options);
    test.steady_ms = second.milliseconds();

    const std::vector<Detection>& found = cold.results.front().detections;
    test.problem = find_nonsense(found, TestImage::kWidth, TestImage::kHeight);
    if (test.problem.empty() && !same_answer(found, warm.results.front().detections)) {
      test.problem = "two runs of the same image differ";
    }
    if (test.problem.empty() && photo_is_here(expected)) {
      test.problem = compare(model, *expected, options);
      test.compared = true;
    }
  } catch (const std::exception& error) {
    test.problem = error.what();
  }
  test.passed = test.problem.empty();
  return test;
}

}  // namespace itemcrop::cli
