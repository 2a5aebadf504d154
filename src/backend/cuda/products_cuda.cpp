// Matrix products by cuBLASLt. It thinks in columns: a row-major y [rows, outputs] is its
// column-major [outputs, rows], so y = x W^T is W (transposed) times x.
#include <algorithm>
#include <array>
#include <cstring>
#include <iterator>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include <cublasLt.h>

#include "itemcrop/error.h"

#include "backend/cuda/products.h"
#include "backend/cuda/runtime_check.h"

namespace itemcrop::cuda {
namespace {

void check(cublasStatus_t status, const char* action) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  // A lost device shows as an execution failure; its own error says which it is.
  cuda::check(cudaPeekAtLastError(), action);
  const bool memory = status == CUBLAS_STATUS_ALLOC_FAILED;
  const bool lost = status == CUBLAS_STATUS_EXECUTION_FAILED;
  throw Error(memory ? ErrorCode::kOutOfMemory
              : lost ? ErrorCode::kDeviceLost
                     : ErrorCode::kInternal,
              std::string("GPU: ") + action + ": " + cublasLtGetStatusString(status));
}

/// An object of the library's, destroyed with its owner.
template <class Handle, cublasStatus_t (*destroy)(Handle)>
class Owned {
 public:
  Owned() = default;
  ~Owned() {
    if (handle_ != nullptr) destroy(handle_);
  }
  Owned(const Owned&) = delete;
  Owned& operator=(const Owned&) = delete;

  Handle get() const noexcept { return handle_; }
  Handle* receive() noexcept { return &handle_; }

 private:
  Handle handle_ = nullptr;
};

using LibraryHandle = Owned<cublasLtHandle_t, cublasLtDestroy>;
using Description = Owned<cublasLtMatmulDesc_t, cublasLtMatmulDescDestroy>;
using Layout = Owned<cublasLtMatrixLayout_t, cublasLtMatrixLayoutDestroy>;
using Preference = Owned<cublasLtMatmulPreference_t, cublasLtMatmulPreferenceDestroy>;

cudaDataType_t native(DType type) {
  switch (type) {
    case DType::kF16:
      return CUDA_R_16F;
    case DType::kBF16:
      return CUDA_R_16BF;
    default:
      return CUDA_R_32F;
  }
}

/// The largest power of two, 16 at most, that divides an address or a row's bytes.
std::uint32_t alignment_of(const void* data, std::int64_t stride, DType type) {
  std::uint64_t bits = reinterpret_cast<std::uintptr_t>(data) |
                       static_cast<std::uint64_t>(stride) * size_of(type) | 16U;
  return static_cast<std::uint32_t>(bits & (~bits + 1));
}

/// What the choice of an algorithm depends on.
using ShapeKey = std::array<std::int64_t, 17>;

ShapeKey key_of(const Product& p) {
  return {p.rows,
          p.outputs,
          p.inputs,
          p.x_stride,
          p.weight_stride,
          p.residual == nullptr ? 0 : p.residual_stride,
          p.y_stride,
          static_cast<std::int64_t>(p.operand),
          static_cast<std::int64_t>(p.result),
          static_cast<std::int64_t>(p.activation),
          p.tf32,
          p.bias != nullptr,
          p.residual != nullptr,
          alignment_of(p.x, p.x_stride, p.operand),
          alignment_of(p.weight, p.weight_stride, p.operand),
          alignment_of(p.y, p.y_stride, p.result),
          p.residual == nullptr ? 16 : alignment_of(p.residual, p.residual_stride, p.result)};
}

ShapeKey family_of(const Product& p) {
  ShapeKey key = key_of(p);
  key.front() = 0;  // the rows
  return key;
}

bool fits_epilogue(const Product& p, const ProductSettings& settings) {
  // The library adds the residual before the activation.
  if (p.residual != nullptr && p.activation != ops::Activation::kNone) return false;
  return p.activation != ops::Activation::kGelu || (settings.tanh_gelu && p.operand != DType::kF32);
}

cublasLtEpilogue_t epilogue_of(const Product& p) {
  switch (p.activation) {
    case ops::Activation::kRelu:
      return p.bias != nullptr ? CUBLASLT_EPILOGUE_RELU_BIAS : CUBLASLT_EPILOGUE_RELU;
    case ops::Activation::kGelu:
      return p.bias != nullptr ? CUBLASLT_EPILOGUE_GELU_BIAS : CUBLASLT_EPILOGUE_GELU;
    case ops::Activation::kNone:
      break;
  }
  return p.bias != nullptr ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT;
}

/// One shape's descriptors and algorithm.
struct Plan {
  explicit Plan(const Product& p) : product(p) {
    check(cublasLtMatmulDescCreate(description.receive(),
                                   p.tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F,
                                   CUDA_R_32F),
          "describe a product");
    const cublasOperation_t transposed = CUBLAS_OP_T;
    set(CUBLASLT_MATMUL_DESC_TRANSA, transposed);
    const cublasLtEpilogue_t epilogue = epilogue_of(p);
    set(CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue);
    if (p.bias != nullptr) {
      const cudaDataType_t bias_type = native(p.result);
      set(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, bias_type);
      set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, p.bias);
    }
    lay_out(weight, p.operand, p.inputs, p.outputs, p.weight_stride);
    lay_out(x, p.operand, p.inputs, p.rows, p.x_stride);
    lay_out(y, p.result, p.outputs, p.rows, p.y_stride);
    lay_out(residual, p.result, p.outputs, p.rows,
            p.residual != nullptr ? p.residual_stride : p.y_stride);
  }

  template <class Value>
  void set(cublasLtMatmulDescAttributes_t attribute, const Value& value) {
    check(cublasLtMatmulDescSetAttribute(description.get(), attribute, &value, sizeof(value)),
          "describe a product");
  }
  static void lay_out(Layout& layout, DType type, std::int64_t rows, std::int64_t cols,
                      std::int64_t stride) {
    check(
        cublasLtMatrixLayoutCreate(layout.receive(), native(type), static_cast<std::uint64_t>(rows),
                                   static_cast<std::uint64_t>(cols), stride),
        "describe a matrix");
  }

  Product product;  ///< the first of this shape; its addresses may be gone
  std::int64_t uses = 0;
  Description description;
  Layout weight, x, y, residual;
  cublasLtMatmulAlgo_t algorithm{};
  bool found = false;
};

}  // namespace

struct Products::State {
  int device;
  ProductSettings settings;
  LibraryHandle library;
  std::mutex mutex;
  std::map<ShapeKey, std::unique_ptr<Plan>> plans;
  /// Algorithms by rows, of shapes that differ in nothing else.
  std::map<ShapeKey, std::map<std::int64_t, cublasLtMatmulAlgo_t>> families;

  std::vector<cublasLtMatmulHeuristicResult_t> candidates(const Plan& plan, const Product& p,
                                                          int most) const;
  void choose(Plan& plan, const Product& p);
  /// Takes over the algorithm if it can run this shape.
  bool adopt(Plan& plan, const cublasLtMatmulAlgo_t& algorithm) const;
  bool adopt_from_family(Plan& plan, const Product& p) const;
  /// The caller holds the mutex for as long as it uses the plan.
  Plan& plan_of(const Product& p);
  void multiply(Plan& plan, const cublasLtMatmulAlgo_t& algorithm, const Product& p,
                void* workspace, Stream stream) const;
  float time(Plan& plan, const cublasLtMatmulAlgo_t& algorithm, const Product& p, void* workspace,
             Stream stream) const;
  /// The library's first answer takes a tenth of a second: it is asked for while weights travel.
  void ask_early() const noexcept;

  std::jthread first_answer;  ///< last: ends before what it uses
};

void Products::State::ask_early() const noexcept {
  constexpr std::int64_t kRows = 16'384;
  constexpr std::int64_t kCols = 256;
  try {
    select_device(device);
    const Product product{.rows = kRows,
                          .outputs = kCols,
                          .inputs = kCols,
                          .x_stride = kCols,
                          .weight_stride = kCols,
                          .y_stride = kCols,
                          .operand = DType::kF16,
                          .result = DType::kF16};
    candidates(Plan(product), product, 1);
  } catch (const std::exception&) {
    // Whoever needs the result calls again and gets the error.
  }
}

std::vector<cublasLtMatmulHeuristicResult_t> Products::State::candidates(const Plan& plan,
                                                                         const Product& p,
                                                                         int most) const {
  Preference preference;
  check(cublasLtMatmulPreferenceCreate(preference.receive()), "prefer an algorithm");
  const auto prefer = [&](cublasLtMatmulPreferenceAttributes_t attribute, const auto& value) {
    check(cublasLtMatmulPreferenceSetAttribute(preference.get(), attribute, &value, sizeof(value)),
          "prefer an algorithm");
  };
  const std::size_t workspace = kWorkspaceBytes;
  prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, workspace);
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES,
         alignment_of(p.weight, p.weight_stride, p.operand));
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, alignment_of(p.x, p.x_stride, p.operand));
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, alignment_of(p.y, p.y_stride, p.result));
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES,
         p.residual != nullptr ? alignment_of(p.residual, p.residual_stride, p.result)
                               : alignment_of(p.y, p.y_stride, p.result));
  if (settings.deterministic) {
    const std::uint32_t none = CUBLASLT_REDUCTION_SCHEME_NONE;
    prefer(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, none);
  }
  std::vector<cublasLtMatmulHeuristicResult_t> results(static_cast<std::size_t>(most));
  int count = 0;
  const cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(
      library.get(), plan.description.get(), plan.weight.get(), plan.x.get(), plan.residual.get(),
      plan.y.get(), preference.get(), most, results.data(), &count);
  // "Not supported" is an answer: this shape has no algorithm with this epilogue.
  results.resize(status == CUBLAS_STATUS_SUCCESS ? static_cast<std::size_t>(count) : 0);
  std::erase_if(results, [](const auto& result) { return result.state != CUBLAS_STATUS_SUCCESS; });
  return results;
}

bool Products::State::adopt(Plan& plan, const cublasLtMatmulAlgo_t& algorithm) const {
  cublasLtMatmulHeuristicResult_t result{};
  if (cublasLtMatmulAlgoCheck(library.get(), plan.description.get(), plan.weight.get(),
                              plan.x.get(), plan.residual.get(), plan.y.get(), &algorithm,
                              &result) != CUBLAS_STATUS_SUCCESS ||
      result.workspaceSize > kWorkspaceBytes) {
    return false;
  }
  plan.algorithm = algorithm;
  plan.found = true;
  return true;
}

/// Asking the library takes a millisecond or two, and a new image size brings fifty shapes that
/// differ from known ones in their rows alone: what is good for nearly as many rows is good enough.
bool Products::State::adopt_from_family(Plan& plan, const Product& p) const {
  constexpr std::int64_t kFewRows = 256;  // where a few rows change what is best
  const auto family = families.find(family_of(p));
  if (family == families.end() || p.rows < kFewRows) return false;
  const auto& known = family->second;
  const auto more = known.lower_bound(p.rows);
  if (more != known.end() && more->first <= p.rows * 3 / 2 && adopt(plan, more->second)) {
    return true;
  }
  return more != known.begin() && std::prev(more)->first >= std::max(kFewRows, p.rows * 2 / 3) &&
         adopt(plan, std::prev(more)->second);
}

void Products::State::choose(Plan& plan, const Product& p) {
  constexpr int kTimed = 8;
  if (settings.deterministic) {
    // Every number of rows takes the algorithm of many rows, if that can run it at all.
    Product many = p;
    many.rows = 16'384;
    const Plan canonical(many);
    for (const auto& candidate : candidates(canonical, many, kTimed)) {
      if (adopt(plan, candidate.algo)) return;
    }
    return;
  }
  if (adopt_from_family(plan, p)) return;
  const auto found = candidates(plan, p, settings.timed ? kTimed : 1);
  if (found.empty()) return;
  plan.found = true;
  plan.algorithm = found.front().algo;
  if (!settings.timed || found.size() == 1) return;
  const OwnedStream stream;
  const Memory workspace(MemoryKind::kDevice, kWorkspaceBytes);
  float best = 0;
  for (std::size_t i = 0; i < found.size(); ++i) {
    const float milliseconds = time(plan, found[i].algo, p, workspace.data(), stream.get());
    if (i == 0 || milliseconds < best) {
      best = milliseconds;
      plan.algorithm = found[i].algo;
    }
  }
}

float Products::State::time(Plan& plan, const cublasLtMatmulAlgo_t& algorithm, const Product& p,
                            void* workspace, Stream stream) const {
  constexpr int kRuns = 5;
  // Not on the call's own matrices: they may be a dry run's, and must not be written over.
  const auto bytes = [](std::int64_t rows, std::int64_t stride, DType type) {
    return static_cast<std::size_t>(rows * stride) * size_of(type);
  };
  const Memory x(MemoryKind::kDevice, bytes(p.rows, p.x_stride, p.operand));
  const Memory y(MemoryKind::kDevice,
                 bytes(std::max<std::int64_t>(p.rows, 2),
                       std::max({p.y_stride, p.residual_stride, p.outputs}), p.result));
  const Memory weight(MemoryKind::kDevice, bytes(p.outputs, p.weight_stride, p.operand));
  Product trial = p;
  trial.x = x.data();
  trial.y = y.data();
  if (p.residual != nullptr) trial.residual = y.data();
  // Whatever lies there: only the time counts, and zeros would be too quick.
  if (p.bias != nullptr) trial.bias = y.data();
  trial.weight = weight.data();
  multiply(plan, algorithm, trial, workspace, stream);
  Event start;
  Event end;
  start.record(stream);
  for (int i = 0; i < kRuns; ++i) multiply(plan, algorithm, trial, workspace, stream);
  end.record(stream);
  end.wait();
  return end.milliseconds_since(start) / kRuns;
}

Plan& Products::State::plan_of(const Product& p) {
  const ShapeKey key = key_of(p);
  // Families stay: their algorithms fit the plans that are made again.
  if (plans.size() >= settings.max_plans && !plans.contains(key)) plans.clear();
  std::unique_ptr<Plan>& plan = plans[key];
  if (plan == nullptr) {
    select_device(device);  // a dry run comes here before anything else does
    auto made = std::make_unique<Plan>(p);
    if (fits_epilogue(p, settings)) choose(*made, p);
    if (made->found) families[family_of(p)].emplace(p.rows, made->algorithm);
    plan = std::move(made);
  }
  return *plan;
}

void Products::State::multiply(Plan& plan, const cublasLtMatmulAlgo_t& algorithm, const Product& p,
                               void* workspace, Stream stream) const {
  if (p.bias != nullptr) plan.set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, p.bias);
  const float one = 1.0F;
  const float addend = p.residual != nullptr ? 1.0F : 0.0F;
  check(cublasLtMatmul(library.get(), plan.description.get(), &one, p.weight, plan.weight.get(),
                       p.x, plan.x.get(), &addend, p.residual != nullptr ? p.residual : p.y,
                       plan.residual.get(), p.y, plan.y.get(), &algorithm, workspace,
                       kWorkspaceBytes, reinterpret_cast<cudaStream_t>(stream)),
        "multiply matrices");
}

Products::Products(int device, const ProductSettings& settings)
    : state_(std::make_unique<State>(device, settings)) {
  select_device(device);
  check(cublasLtCreate(state_->library.receive()), "start cuBLASLt");
  state_->first_answer = std::jthread([state = state_.get()] { state->ask_early(); });
}

Products::~Products() = default;

bool Products::fuses(const Product& product) {
  const std::lock_guard lock(state_->mutex);
  return state_->plan_of(product).found;
}

void Products::run(Stream stream, void* workspace, const Product& product) {
  // The bias' address is part of the shared description, so it is set and read under the lock.
  State& state = *state_;
  const std::lock_guard lock(state.mutex);
  Plan& plan = state.plan_of(product);
  if (!plan.found) {
    throw Error(ErrorCode::kInternal, "GPU: cuBLASLt has no algorithm for a product of " +
                                          std::to_string(product.rows) + " x " +
                                          std::to_string(product.inputs) + " by " +
                                          std::to_string(product.outputs));
  }
  ++plan.uses;
  state.multiply(plan, plan.algorithm, product, workspace, stream);
}

std::vector<ProductTime> Products::measure() {
  constexpr int kCandidates = 8;
  State& state = *state_;
  const std::lock_guard lock(state.mutex);
  select_device(state.device);
  const OwnedStream stream;
  const Memory workspace(MemoryKind::kDevice, kWorkspaceBytes);
  std::vector<ProductTime> times;
  for (const auto& [key, plan] : state.plans) {
    if (plan->uses == 0) continue;
    const Product& p = plan->product;
    const auto time = [&](const cublasLtMatmulAlgo_t& algorithm) {
      return state.time(*plan, algorithm, p, workspace.data(), stream.get());
    };
    ProductTime measured{p, plan->uses, time(plan->algorithm), 0};
    measured.best_milliseconds = measured.milliseconds;
    for (const auto& candidate : state.candidates(*plan, p, kCandidates)) {
      measured.best_milliseconds = std::min(measured.best_milliseconds, time(candidate.algo));
    }
    times.push_back(measured);
  }
  return times;
}

}  // namespace itemcrop::cuda
