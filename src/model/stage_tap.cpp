#include "model/stage_tap.h"

#include <vector>

namespace itemcrop::model {

StageTap StageTap::offset(int first) const {
  return StageTap([callback = callback_, first](
                      std::string_view name, int index, const float* values, std::int64_t rows,
                      std::int64_t cols) { callback(name, index + first, values, rows, cols); });
}

void StageTap::operator()(ops::Executor& executor, std::string_view name, ops::Matrix x,
                          std::span<const ops::Segment> segments) const {
  if (!callback_) return;
  std::vector<float> host;
  for (std::size_t i = 0; i < segments.size(); ++i) {
    const ops::Matrix rows = x.row_range(segments[i].begin, segments[i].rows);
    host.resize(static_cast<std::size_t>(rows.rows * rows.cols));
    executor.download(rows, host.data());
    callback_(name, static_cast<int>(i), host.data(), rows.rows, rows.cols);
  }
}

void StageTap::operator()(ops::Executor& executor, std::string_view name, ops::Matrix x,
                          std::span<const ops::Grid> grids) const {
  if (!callback_) return;
  std::vector<ops::Segment> segments;
  for (const ops::Grid& grid : grids) segments.push_back({grid.begin, grid.rows()});
  (*this)(executor, name, x, segments);
}

}  // namespace itemcrop::model
