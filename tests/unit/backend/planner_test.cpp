// The planner stands before every kernel: it must let right shapes pass and stop wrong ones.

#include "ops/planner.h"

#include <memory>
#include <set>
#include <string>

#include <gtest/gtest.h>

#include "itemcrop/error.h"

#include "backend/cpu/reference/reference_backend.h"
#include "support/forwarding_backend.h"
#include "unit/backend/op_runner.h"
#include "unit/backend/random_cases.h"

namespace itemcrop::test {
namespace {

/// The reference's weights and the planner as executor.
class PlanningBackend final : public ForwardingBackend {
 public:
  PlanningBackend() : ForwardingBackend(cpu::make_reference_backend()) {}

  std::unique_ptr<ops::Executor> make_executor(int /*threads*/,
                                               std::size_t /*arena_bytes*/) const override {
    return ops::make_planner(DType::kF32);
  }
};

HostMatrix widened(const HostMatrix& matrix) {
  HostMatrix wide{matrix.rows, matrix.cols + 1, {}};
  wide.values.resize(static_cast<std::size_t>(wide.rows * wide.cols));
  return wide;
}

/// Whether nothing else fixes the input's columns: those of the output follow from it, or only its
/// address reaches the backend.
bool is_free(const std::string& op, const std::string& input, const OpCase& op_case) {
  static const std::set<std::string> free = {"attention value", "gather_rows x",
                                             "image_patches image", "mask_proposals x",
                                             "axis_positions level_embedding"};
  if (free.count(op + " " + input) != 0) return true;
  const std::string suffix = ".bias";
  if (!input.ends_with(suffix)) return false;
  const std::string layer = input.substr(0, input.size() - suffix.size());
  return !op_case.arguments.contains(layer + ".epsilon");  // a linear layer's, not a norm's
}

class PlannerTest : public testing::TestWithParam<std::string> {
 protected:
  PlanningBackend backend_;
};

TEST_P(PlannerTest, LetsRightShapesPass) {
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    run_case(random_case(GetParam(), seed, {seed + 10, seed + 20}), backend_, 1);
  }
}

TEST_P(PlannerTest, StopsAColumnTooMany) {
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    const OpCase right = random_case(GetParam(), seed, {seed + 10, seed + 20});
    for (const auto& [name, matrix] : right.inputs) {
      if (is_free(GetParam(), name, right)) continue;
      OpCase wrong = right;
      wrong.inputs[name] = widened(matrix);
      try {
        run_case(wrong, backend_, 1);
        ADD_FAILURE() << GetParam() << " takes any " << name << ", " << right.arguments;
      } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::kInternal);
        EXPECT_NE(std::string(error.what()).find(GetParam()), std::string::npos) << error.what();
      }
    }
  }
}

TEST(Planner, WantsAsManyAxisRowsAsCellsHaveRowsAndColumns) {
  const PlanningBackend backend;
  int tried = 0;
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    OpCase op_case = random_case("deformable_attention", seed, {seed + 10, seed + 20});
    if (op_case.inputs.count("reference") != 0) continue;
    HostMatrix& position = op_case.inputs["position"];
    position.rows -= 1;
    position.values.resize(static_cast<std::size_t>(position.rows * position.cols));
    EXPECT_THROW(run_case(op_case, backend, 1), Error) << op_case.arguments;
    ++tried;
  }
  EXPECT_GT(tried, 0);
}

INSTANTIATE_TEST_SUITE_P(Ops, PlannerTest, testing::ValuesIn(random_ops()),
                         [](const auto& parameters) { return parameters.param; });

}  // namespace
}  // namespace itemcrop::test
