// Every op on random shapes: against the reference, and against itself with other threads and in
// other batches. Shapes are drawn afresh each run; ITEMCROP_TEST_SEED repeats one.

#include <cstdlib>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <tuple>
#include <vector>

#include <gtest/gtest.h>

#include "backend/cpu/reference/reference_backend.h"
#include "unit/backend/backends.h"
#include "unit/backend/compare.h"
#include "unit/backend/op_runner.h"
#include "unit/backend/random_cases.h"

namespace itemcrop::test {
namespace {

std::uint64_t run_seed() {
  static const std::uint64_t seed = [] {
    const char* given = std::getenv("ITEMCROP_TEST_SEED");
    return given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device{}();
  }();
  return seed;
}

using Parameters = std::tuple<BackendUnderTest, std::string>;

class RandomShapes : public testing::TestWithParam<Parameters> {
 protected:
  static constexpr int kRounds = 12;

  void SetUp() override {
    RecordProperty("seed", std::to_string(run_seed()));
    backend_ = under_test().make();
  }

  const BackendUnderTest& under_test() const { return std::get<0>(GetParam()); }
  const std::string& op() const { return std::get<1>(GetParam()); }
  std::uint64_t seed_of(int round) const {
    const std::string key = std::to_string(run_seed()) + op() + std::to_string(round);
    return std::hash<std::string>{}(key);
  }
  static std::string trace(const OpCase& op_case) {
    std::string text = "ITEMCROP_TEST_SEED=" + std::to_string(run_seed()) + ", ";
    for (const auto& [name, matrix] : op_case.inputs) {
      text += name + ' ' + std::to_string(matrix.rows) + " x " + std::to_string(matrix.cols) + ", ";
    }
    return text + op_case.arguments.dump();
  }

  std::shared_ptr<const ops::Backend> backend_;
};

TEST_P(RandomShapes, AgreesWithTheReference) {
  const std::shared_ptr<const ops::Backend> reference = cpu::make_reference_backend();
  for (int round = 0; round < kRounds; ++round) {
    const std::uint64_t seed = seed_of(round);
    const OpCase op_case = random_case(op(), seed, {seed + 100, seed + 101, seed + 102});
    SCOPED_TRACE(trace(op_case));
    const OpResult expected = run_case(op_case, *reference, 2);
    for (const auto& [name, values] : run_case(op_case, *backend_, 2)) {
      ASSERT_TRUE(close(values, expected.at(name), under_test().tolerance)) << name;
    }
  }
}

/// Of backends that have threads.
class RandomThreads : public RandomShapes {};

TEST_P(RandomThreads, ChangeNothing) {
  for (int round = 0; round < kRounds / 2; ++round) {
    const std::uint64_t seed = seed_of(round);
    const OpCase op_case = random_case(op(), seed, {seed + 200, seed + 201});
    SCOPED_TRACE(trace(op_case));
    const OpResult alone = run_case(op_case, *backend_, 1);
    for (const auto& [name, values] : run_case(op_case, *backend_, 3)) {
      ASSERT_TRUE(identical(values, alone.at(name))) << name;
    }
  }
}

/// Of ops that give each image of a batch rows of its own.
class RandomBatches : public RandomShapes {};

TEST_P(RandomBatches, AreInvariant) {
  for (int round = 0; round < kRounds / 2; ++round) {
    const std::uint64_t seed = seed_of(round);
    const std::vector<std::uint64_t> samples = {seed + 300, seed + 301, seed + 302};
    std::map<std::string, std::vector<HostMatrix>> alone;
    for (const std::uint64_t sample : samples) {
      const OpResult result = run_case(random_case(op(), seed, {sample}), *backend_, 2);
      for (const auto& [name, values] : result) alone[name].push_back(values);
    }
    const OpCase op_case = random_case(op(), seed, samples);
    SCOPED_TRACE(trace(op_case));
    for (const auto& [name, values] : run_case(op_case, *backend_, 2)) {
      ASSERT_TRUE(identical(values, stack(alone.at(name)))) << name;
    }
  }
}

std::string parameters_name(const testing::TestParamInfo<Parameters>& info) {
  const auto& [backend, op] = info.param;
  return backend.name + "_" + op;
}

std::vector<BackendUnderTest> threaded_backends() {
  std::vector<BackendUnderTest> backends = backends_under_test();
  std::erase_if(backends, [](const BackendUnderTest& backend) {
    return backend.make()->device() == Device::kCuda;
  });
  return backends;
}

/// top_k gives row numbers of the batch, and image_patches has no batch.
std::vector<std::string> batched_ops() {
  std::vector<std::string> ops = random_ops();
  std::erase_if(ops, [](const std::string& op) { return op == "top_k" || op == "image_patches"; });
  return ops;
}

INSTANTIATE_TEST_SUITE_P(Backends, RandomShapes,
                         testing::Combine(testing::ValuesIn(backends_under_test()),
                                          testing::ValuesIn(random_ops())),
                         parameters_name);
// A GPU has no threads to vary.
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(RandomThreads);
INSTANTIATE_TEST_SUITE_P(Backends, RandomThreads,
                         testing::Combine(testing::ValuesIn(threaded_backends()),
                                          testing::ValuesIn(random_ops())),
                         parameters_name);
INSTANTIATE_TEST_SUITE_P(Backends, RandomBatches,
                         testing::Combine(testing::ValuesIn(backends_under_test()),
                                          testing::ValuesIn(batched_ops())),
                         parameters_name);

}  // namespace
}  // namespace itemcrop::test
