#pragma once

#include <cstdint>

#include "backend/cpu/reference/reference_weights.h"
#include "ops/weights.h"

namespace itemcrop::cpu::reference {

/// y[r] = x[r] W^T + b for each row; y must not overlap x. Strides are in elements.
void multiply_rows(const float* x, std::int64_t x_stride, std::int64_t rows,
                   const ReferenceLinear& weight, float* y, std::int64_t y_stride);

/// y = (x - mean) / sqrt(variance + epsilon) * weight + bias over the norm's channels; y may be x.
void normalise_row(const float* x, const ops::Norm& norm, float* y);

void activate_row(float* x, std::int64_t cols, ops::Activation activation);

/// Replaces scores by exp(score - max) / sum.
void softmax_row(float* scores, std::int64_t count);

float dot(const float* a, const float* b, std::int64_t count);

/// y += factor * x.
void accumulate(float factor, const float* x, std::int64_t count, float* y);

float sigmoid(float x);

/// log(p / (1 - p)).
float logit(float p);

}  // namespace itemcrop::cpu::reference
