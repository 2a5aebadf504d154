#include "cli/photo_run.h"

#include <cstdlib>

#include <gtest/gtest.h>

#include "support/expect_error.h"
#include "support/fake_model.h"

namespace itemcrop::cli {
namespace {

using test::expect_error;
using test::FakeModel;

/// Keeps what it is given.
struct KeepingSink : PhotoSink {
  void ran_on(Device, Precision) override { ++calls; }
  void take(crop::ImageResult photo, const image::Image* image) override {
    had_image.push_back(image != nullptr);
    photos.push_back(std::move(photo));
  }
  int calls = 0;
  std::vector<crop::ImageResult> photos;
  std::vector<bool> had_image;
};

/// An image as wide as the source's number; number 0 cannot be decoded.
image::Image read_numbered(const PhotoSource& source) {
  const int width = std::stoi(source.name);
  if (width == 0) throw Error(ErrorCode::kCorruptImage, "damaged");
  auto* pixels = static_cast<std::uint8_t*>(std::calloc(static_cast<std::size_t>(width) * 3, 1));
  return {image::Image::Pixels(pixels, std::free), width, 1, {}};
}

std::vector<PhotoSource> numbered(const std::vector<int>& numbers) {
  std::vector<PhotoSource> sources;
  for (const int number : numbers) sources.push_back({std::to_string(number), "", false});
  return sources;
}

PhotoArguments arguments_for(int batch, const std::string& prompt = "hat") {
  PhotoArguments arguments;
  arguments.batch = batch;
  arguments.search.items.resize(1);
  arguments.search.items[0].prompt = prompt;
  return arguments;
}

/// Fails on images of one width.
FakeModel model_that_fails(int width, ErrorCode code) {
  return FakeModel([width, code](const DetectRequest& request) {
    if (request.image.width == width) throw Error(code, "no");
    return FakeModel::find_all(request);
  });
}

TEST(RunPhotos, DetectsInBatchesAndKeepsOrder) {
  const FakeModel model;
  KeepingSink sink;
  run_photos(model, numbered({5, 6, 0, 8, 9}), arguments_for(2), read_numbered, sink);
  EXPECT_EQ(model.batches(), (std::vector<std::size_t>{2, 1, 1}))
      << "the photo that is damaged is not sent to the model";
  ASSERT_EQ(sink.photos.size(), 5U);
  for (std::size_t i = 0; i < 5; ++i) {
    EXPECT_EQ(sink.photos[i].error.has_value(), i == 2);
    EXPECT_EQ(sink.had_image[i], i != 2);
    EXPECT_EQ(sink.photos[i].items.size(), i == 2 ? 0U : 1U);
  }
  EXPECT_EQ(sink.photos[1].width, 6);
  EXPECT_FLOAT_EQ(static_cast<float>(sink.photos[4].timing.model), 20.25F);
}

TEST(RunPhotos, APhotoThatFailsInABatchFailsAlone) {
  const FakeModel model = model_that_fails(6, ErrorCode::kOutOfMemory);
  KeepingSink sink;
  run_photos(model, numbered({5, 6, 7}), arguments_for(3), read_numbered, sink);
  ASSERT_EQ(sink.photos.size(), 3U);
  EXPECT_FALSE(sink.photos[0].error);
  EXPECT_EQ(sink.photos[1].error.value().code(), ErrorCode::kOutOfMemory);
  EXPECT_FALSE(sink.photos[2].error);
}

TEST(RunPhotos, ALostDeviceEndsTheRun) {
  for (const int batch : {1, 3}) {
    const FakeModel model = model_that_fails(6, ErrorCode::kDeviceLost);
    KeepingSink sink;
    expect_error(ErrorCode::kDeviceLost, "no", [&] {
      run_photos(model, numbered({5, 6, 7}), arguments_for(batch), read_numbered, sink);
    });
    EXPECT_EQ(sink.photos.size(), batch == 1 ? 1U : 0U);
  }
}

TEST(RunPhotos, BadItemsAreRefusedBeforeAnyPhoto) {
  const FakeModel model;
  KeepingSink sink;
  expect_error(ErrorCode::kInvalidArgument, "refused", [&] {
    run_photos(model, numbered({5}), arguments_for(1, "refused"), read_numbered, sink);
  });
  EXPECT_TRUE(sink.photos.empty());
  EXPECT_EQ(sink.calls, 0);
}

TEST(RunPhotos, WhatTheSinkCannotWriteEndsTheRun) {
  struct FullDisk : KeepingSink {
    void take(crop::ImageResult, const image::Image*) override {
      throw Error(ErrorCode::kIo, "disk full");
    }
  };
  const FakeModel model;
  FullDisk sink;
  expect_error(ErrorCode::kIo, "disk full", [&] {
    run_photos(model, numbered({5, 6}), arguments_for(1), read_numbered, sink);
  });
}

}  // namespace
}  // namespace itemcrop::cli
