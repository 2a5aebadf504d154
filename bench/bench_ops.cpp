// Times every op of the CPU backend at the shapes of grounding-dino-tiny on an 800 x 1333 image
// with 16 text tokens. Each op's answer is first compared with the scalar reference on a small
// case; a wrong op is not timed. Run under `taskset -c 0` for one thread.

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/reference/reference_backend.h"
#include "core/thread_pool.h"
#include "ops_cases.h"

namespace {

using itemcrop::Precision;
using itemcrop::bench::Case;
using itemcrop::bench::OpCase;
using itemcrop::bench::Size;

struct Setting {
  Precision precision;
  const char* name;
  double tolerance;
};

std::vector<float> run_once(const itemcrop::ops::Backend& backend, const Case& op_case) {
  const std::unique_ptr<OpCase> op = op_case.make(backend, Size::kSmall, 2);
  op->run();
  return op->result();
}

/// Largest difference, relative to the largest value.
double difference(const std::vector<float>& a, const std::vector<float>& b) {
  double largest = 1e-9;
  double worst = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (std::isnan(a[i]) || std::isnan(b[i])) return 1e9;
    if (a[i] == b[i]) continue;
    largest = std::max(largest, std::abs(static_cast<double>(a[i])));
    worst = std::max(worst, std::abs(static_cast<double>(a[i]) - b[i]));
  }
  return worst / largest;
}

/// What one benchmark runs; compared with the reference before its first timing.
struct Job {
  Case op_case;
  std::shared_ptr<const itemcrop::ops::Backend> backend;
  double tolerance;
  bool checked = false;
};

bool check(Job& job, benchmark::State& state) {
  if (job.checked) return true;
  const auto reference = itemcrop::cpu::make_reference_backend();
  const double error =
      difference(run_once(*reference, job.op_case), run_once(*job.backend, job.op_case));
  job.checked = error <= job.tolerance;
  if (!job.checked) {
    state.SkipWithError(("differs from the reference by " + std::to_string(error)).c_str());
  }
  return job.checked;
}

void time_op(benchmark::State& state, const std::shared_ptr<Job>& job) {
  if (!check(*job, state)) return;
  const std::unique_ptr<OpCase> op =
      job->op_case.make(*job->backend, Size::kTiny, itemcrop::hardware_threads());
  op->run();
  for (auto _ : state) op->run();
  using benchmark::Counter;
  state.counters["FLOP/s"] = Counter(op->flops(), Counter::kIsIterationInvariantRate);
  state.counters["B/s"] =
      Counter(op->bytes(), Counter::kIsIterationInvariantRate, Counter::kIs1024);
  state.counters["per_image"] = job->op_case.per_image;
}

}  // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  constexpr Setting kSettings[] = {{Precision::kFp32, "fp32", 1e-5},
                                   {Precision::kBf16, "bf16", 2e-2}};
  const std::vector<Case> cases = itemcrop::bench::cases();
  for (const Setting& setting : kSettings) {
    const auto backend = itemcrop::cpu::make_cpu_backend(setting.precision);
    for (const Case& op_case : cases) {
      const std::string name = op_case.name + "/" + setting.name;
      const auto job = std::make_shared<Job>(Job{op_case, backend, setting.tolerance});
      benchmark::RegisterBenchmark(name.c_str(), time_op, job)
          ->Unit(benchmark::kMillisecond)
          ->MeasureProcessCPUTime();
    }
  }
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
