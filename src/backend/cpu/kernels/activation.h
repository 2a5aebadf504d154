#pragma once

#include <cstdint>

#include "ops/weights.h"

namespace itemcrop::cpu::kernels {

/// y = activation(y + bias), one bias a column.
void add_bias_and_activate(float* y, std::int64_t stride, std::int64_t rows, std::int64_t cols,
                           const float* bias, ops::Activation activation);

}  // namespace itemcrop::cpu::kernels
