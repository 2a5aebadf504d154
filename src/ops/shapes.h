#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "ops/geometry.h"
#include "ops/tensor.h"
#include "ops/weights.h"

/// What the ops' contracts (ops/executor.h) say of shapes, as predicates.
namespace itemcrop::ops {

inline bool is_floating(const Matrix& m) {
  const bool floating = m.dtype == DType::kF32 || m.dtype == DType::kF16 || m.dtype == DType::kBF16;
  return !m.empty() && m.stride >= m.cols && floating;
}

inline bool has_shape(const Matrix& m, std::int64_t rows, std::int64_t cols) {
  return is_floating(m) && m.rows == rows && m.cols == cols;
}

inline bool same_shape(const Matrix& a, const Matrix& b) { return has_shape(a, b.rows, b.cols); }

inline bool is_fp32(const Matrix& m, std::int64_t rows, std::int64_t cols) {
  return has_shape(m, rows, cols) && m.dtype == DType::kF32;
}

/// kI32 [rows, 1].
inline bool is_indices(const Matrix& m, std::int64_t rows) {
  return !m.empty() && m.dtype == DType::kI32 && m.rows == rows && m.cols == 1;
}

inline bool is_row(const Constant& constant, std::int64_t cols) {
  return constant.rows() == 1 && constant.cols() == cols;
}

inline bool fits(const Norm& norm, std::int64_t channels) {
  return norm.weight->cols() == channels && norm.bias->cols() == channels;
}

/// The same for a norm that may be missing.
inline bool fits(const Norm* norm, std::int64_t channels) {
  return norm == nullptr || fits(*norm, channels);
}

inline bool fits(const LinearWeights& weights, std::int64_t inputs, std::int64_t outputs) {
  return weights.inputs() == inputs && weights.outputs() == outputs;
}

inline bool within(std::span<const Segment> segments, const Matrix& m) {
  return is_floating(m) && std::ranges::all_of(segments, [&](const Segment& s) {
           return s.begin >= 0 && s.rows >= 0 && s.end() <= m.rows;
         });
}

inline bool within(std::span<const Grid> grids, const Matrix& m) {
  return is_floating(m) && std::ranges::all_of(grids, [&](const Grid& g) {
           return g.height >= 1 && g.width >= 1 && g.begin >= 0 && g.begin + g.rows() <= m.rows;
         });
}

/// Pyramids of at least one level, each level's rows behind those of the level before.
inline bool within(std::span<const Pyramid> pyramids, const Matrix& m) {
  return is_floating(m) && std::ranges::all_of(pyramids, [&](const Pyramid& pyramid) {
           if (pyramid.levels.empty() || !within(pyramid.levels, m)) return false;
           std::int64_t next = pyramid.begin();
           return std::ranges::all_of(pyramid.levels, [&](const Grid& level) {
             const bool follows = level.begin == next;
             next += level.rows();
             return follows;
           });
         });
}

/// Whether check(a[i], b[i]) holds for all pairs of two spans of one length.
template <class A, class B, class Check>
bool all_pairs(std::span<const A> a, std::span<const B> b, const Check& check) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), check);
}

/// Grids of x and, of half the height and width rounded up, grids of y.
inline bool are_halved(const Matrix& x, std::span<const Grid> from, const Matrix& y,
                       std::span<const Grid> to) {
  return within(from, x) && within(to, y) && all_pairs(from, to, [](const Grid& a, const Grid& b) {
           return b.height == (a.height + 1) / 2 && b.width == (a.width + 1) / 2;
         });
}

/// Segments of x and as many non-empty ones of the text.
inline bool are_paired(const Matrix& x, std::span<const Segment> segments, const Matrix& text,
                       std::span<const Segment> text_segments) {
  return within(segments, x) && within(text_segments, text) && x.cols == text.cols &&
         segments.size() == text_segments.size() &&
         std::ranges::all_of(text_segments, [](const Segment& s) { return s.rows >= 1; });
}

inline bool all_below(std::span<const std::int32_t> values, std::int64_t limit) {
  return std::ranges::all_of(values, [=](std::int32_t v) { return v >= 0 && v < limit; });
}

}  // namespace itemcrop::ops
