#pragma once

#include <cstddef>
#include <cstdint>

#include "backend/cuda/kernels/layout.h"

/// A feed-forward network whose hidden rows never leave the multiprocessor.
namespace itemcrop::cuda::kernels {

/// y = layer_norm(x + relu(x U^T + b) D^T + c). Matrices are of one 16-bit type; sums and
/// statistics are fp32, hidden values are rounded. A row's answer does not depend on the others.
struct FeedForwardParams {
  Matrix x;
  const void* up = nullptr;  ///< U: [hidden, x.cols]
  std::int64_t up_stride = 0;
  const float* up_bias = nullptr;  ///< [hidden]
  const void* down = nullptr;      ///< D: [x.cols, hidden]
  std::int64_t down_stride = 0;
  const float* down_bias = nullptr;  ///< [x.cols]
  std::int64_t hidden = 0;
  RowNorm norm;
  Matrix y;  ///< may be x
  int multiprocessors = 132;
  /// Rows that do not fill the device once more are shared out by hidden values, which changes how
  /// their sums are rounded. Needs the two below.
  bool split = false;
  void* workspace = nullptr;         ///< feed_forward_workspace() bytes, aligned to 16
  std::uint32_t* tickets = nullptr;  ///< feed_forward_tickets(), zero before and after
};

/// Who does what. A unit is 128 rows, a chunk 64 hidden values. The first `whole` units go round
/// the blocks; the hidden values of each of the others are cut into equally many of the `parts`
/// shares, one a block.
struct FeedForwardSchedule {
  /// A share is at least this many pairs of chunks.
  static constexpr std::int64_t kFewestPairs = 4;

  std::int32_t blocks = 0;
  std::int32_t units = 0;
  std::int32_t chunks = 0;
  std::int32_t whole = 0;
  std::int32_t parts = 0;

  /// Where a part's share begins, in pairs of chunks from the first unit that is shared out.
  constexpr std::int32_t begin(std::int32_t part) const {
    return part * ((units - whole) * (chunks / 2)) / parts;
  }
};

/// Chunks [begin, end) of a unit, at least two.
struct FeedForwardItem {
  std::int32_t unit = 0;
  std::int32_t begin = 0;
  std::int32_t end = 0;
};

/// The items of a block, one after another.
class FeedForwardWalk {
 public:
  constexpr FeedForwardWalk(const FeedForwardSchedule& schedule, std::int32_t block)
      : schedule_(schedule), unit_(block) {
    if (block >= schedule.parts) return;
    at_ = schedule.begin(block);
    end_ = schedule.begin(block + 1);
  }

  constexpr bool next(FeedForwardItem& item) {
    if (unit_ < schedule_.whole) {
      item = {unit_, 0, schedule_.chunks};
      unit_ += schedule_.blocks;
      return true;
    }
    if (at_ >= end_) return false;
    const std::int32_t pairs = schedule_.chunks / 2;
    const std::int32_t unit = at_ / pairs;
    item = {schedule_.whole + unit, 2 * (at_ - unit * pairs), 2 * (end_ - unit * pairs)};
    at_ = end_;
    return true;
  }

 private:
  const FeedForwardSchedule& schedule_;
  std::int32_t unit_;
  std::int32_t at_ = 0;
  std::int32_t end_ = 0;
};

/// The parts that an item's unit is shared out to; one where it is not.
struct FeedForwardShare {
  std::int32_t first = 0;
  std::int32_t count = 1;
};
constexpr FeedForwardShare share_of(const FeedForwardSchedule& schedule,
                                    const FeedForwardItem& item) {
  if (item.unit < schedule.whole) return {};
  const std::int32_t each = schedule.parts / (schedule.units - schedule.whole);
  return {(item.unit - schedule.whole) * each, each};
}

FeedForwardSchedule schedule_of(const FeedForwardParams& params);
std::size_t feed_forward_workspace(const FeedForwardParams& params);
std::size_t feed_forward_tickets(int multiprocessors);

/// Whether this can be done where row_products_work().
bool fits_feed_forward(const FeedForwardParams& params);

void launch_feed_forward(Stream stream, const FeedForwardParams& params);

}  // namespace itemcrop::cuda::kernels
