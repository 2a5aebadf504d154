// Finding and opening the GPU module where it cannot be used: list_devices() says why, the program
// goes on. What is found is fixed for a process, so each case is a run of its own;
// ITEMCROP_EXPECTED is part of the reason.
#include <cstdlib>
#include <string>

#include <gtest/gtest.h>

#include "itemcrop/error.h"

#include "backend/cuda/cuda_backend.h"

namespace itemcrop {
namespace {

TEST(CudaModule, SaysWhyThereIsNoDevice) {
  const char* expected = std::getenv("ITEMCROP_EXPECTED");
  ASSERT_NE(expected, nullptr);
  const std::vector<DeviceInfo> devices = cuda::list_devices();
  ASSERT_EQ(devices.size(), 1U);
  EXPECT_EQ(devices.front().device, Device::kCuda);
  EXPECT_FALSE(devices.front().usable);
  EXPECT_NE(devices.front().detail.find(expected), std::string::npos) << devices.front().detail;
  try {
    cuda::make_cuda_backend(0, Precision::kFp16, false);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUnsupportedDevice);
    EXPECT_NE(std::string(error.what()).find(expected), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace itemcrop
