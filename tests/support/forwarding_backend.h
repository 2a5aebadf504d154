#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "ops/backend.h"

namespace itemcrop::test {

/// Another backend, of which a test replaces a part.
class ForwardingBackend : public ops::Backend {
 public:
  explicit ForwardingBackend(std::shared_ptr<const ops::Backend> backend)
      : backend_(std::move(backend)) {}

  Device device() const noexcept override { return backend_->device(); }
  Precision precision() const noexcept override { return backend_->precision(); }
  std::string name() const override { return backend_->name(); }
  std::unique_ptr<const ops::LinearWeights> make_linear(
      const ops::HostLinear& host, ops::WeightPrecision precision) const override {
    return backend_->make_linear(host, precision);
  }
  std::unique_ptr<const ops::Constant> make_constant(const float* host, std::int64_t rows,
                                                     std::int64_t cols) const override {
    return backend_->make_constant(host, rows, cols);
  }
  std::size_t weight_bytes() const noexcept override { return backend_->weight_bytes(); }
  std::unique_ptr<ops::Executor> make_planner() const override { return backend_->make_planner(); }
  std::unique_ptr<ops::Executor> make_executor(int threads,
                                               std::size_t arena_bytes) const override {
    return backend_->make_executor(threads, arena_bytes);
  }

 private:
  std::shared_ptr<const ops::Backend> backend_;
};

}  // namespace itemcrop::test
