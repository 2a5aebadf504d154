#include "backend/cuda/weights.h"

#include <algorithm>
#include <cstring>

#include "backend/cuda/kernels/rows.h"

namespace itemcrop::cuda {
namespace {

constexpr std::size_t kWeightBlockBytes = std::size_t{64} << 20;
constexpr std::size_t kSlotBytes = std::size_t{2} << 20;
constexpr std::size_t kSlots = 4;

}  // namespace

struct WeightStore::Slot {
  Memory host{MemoryKind::kPinned, kSlotBytes};
  Memory device{MemoryKind::kDevice, kSlotBytes};  ///< fp32 values on their way to a smaller type
  Event free;
};

WeightStore::WeightStore(int device, DType rounded, bool half_heads)
    : device_(device), rounded_(rounded), half_heads_(half_heads && rounded == DType::kF16) {
  select_device(device_);
  stream_ = std::make_unique<OwnedStream>();
}

WeightStore::~WeightStore() = default;

WeightStore::Place WeightStore::take(std::size_t bytes) {
  const std::size_t size = aligned(bytes);
  if (block_ == nullptr || block_->bytes() - used_ < size) {
    block_ = std::make_shared<Memory>(MemoryKind::kDevice, std::max(size, kWeightBlockBytes));
    used_ = 0;
  }
  Place place{block_->data() + used_, block_};
  used_ += size;
  bytes_ += bytes;
  return place;
}

void WeightStore::upload(const float* host, std::int64_t rows, std::int64_t cols, std::byte* to,
                         std::int64_t stride, DType dtype) {
  // Where memory ends half-way, other threads still come by: they must not find fewer than all.
  while (slots_.size() < kSlots) slots_.push_back(std::make_unique<Slot>());
  in_flight_ = true;
  const auto row_bytes = static_cast<std::size_t>(cols) * sizeof(float);
  const auto target_row_bytes = static_cast<std::size_t>(stride) * size_of(dtype);
  if (stride != cols)
    fill_zero(stream_->get(), to, static_cast<std::size_t>(rows) * target_row_bytes);
  // A row longer than a slot travels in pieces.
  const auto columns_at_once =
      std::min(cols, static_cast<std::int64_t>(kSlotBytes / sizeof(float)));
  const std::int64_t rows_at_once =
      columns_at_once < cols ? 1 : static_cast<std::int64_t>(kSlotBytes / row_bytes);
  for (std::int64_t row = 0; row < rows; row += rows_at_once) {
    const std::int64_t count = std::min(rows_at_once, rows - row);
    for (std::int64_t column = 0; column < cols; column += columns_at_once) {
      const std::int64_t width = std::min(columns_at_once, cols - column);
      Slot& slot = *slots_[next_slot_++ % kSlots];
      slot.free.wait();
      const auto bytes = static_cast<std::size_t>(count * width) * sizeof(float);
      std::memcpy(slot.host.data(), host + row * cols + column, bytes);
      std::byte* target = to + static_cast<std::size_t>(row) * target_row_bytes +
                          static_cast<std::size_t>(column) * size_of(dtype);
      if (dtype == DType::kF32 && (stride == cols || count == 1)) {
        copy(stream_->get(), target, slot.host.data(), bytes);
      } else {
        copy(stream_->get(), slot.device.data(), slot.host.data(), bytes);
        kernels::launch_copy(stream_->get(),
                             {.x = {slot.device.data(), DType::kF32, count, width, width},
                              .y = {target, dtype, count, width, stride}});
      }
      slot.free.record(stream_->get());
    }
  }
}

std::unique_ptr<const ops::LinearWeights> WeightStore::add_linear(const ops::HostLinear& host,
                                                                  ops::WeightPrecision precision) {
  // Rows start at multiples of 16 bytes, which products need to be fast.
  constexpr std::int64_t kRowBytes = 16;
  const std::lock_guard lock(mutex_);
  select_device(device_);
  DeviceLinear::Parts parts;
  const bool head = precision == ops::WeightPrecision::kHead;
  // Tiles of a product; what makes a box's four numbers stays fp32.
  constexpr std::int64_t kManyOutputs = 64;
  const bool half_head = head && half_heads_ && host.outputs >= kManyOutputs;
  const bool rounds = half_head || precision == ops::WeightPrecision::kBackend;
  parts.dtype = rounds ? rounded_ : DType::kF32;
  parts.tf32 = head && !half_head && rounded_ != DType::kF32;
  const auto step = kRowBytes / static_cast<std::int64_t>(size_of(parts.dtype));
  parts.stride = (host.inputs + step - 1) / step * step;
  const auto weight_bytes =
      static_cast<std::size_t>(host.outputs * parts.stride) * size_of(parts.dtype);
  const auto values = static_cast<std::size_t>(host.outputs);
  const bool rounded = parts.dtype != DType::kF32;
  const std::size_t bias_bytes = host.bias == nullptr ? 0 : values * sizeof(float);
  const std::size_t rounded_bytes =
      host.bias == nullptr || !rounded ? 0 : values * size_of(parts.dtype);
  const Place place = take(aligned(weight_bytes) + aligned(bias_bytes) + rounded_bytes);
  std::byte* const bias = place.data + aligned(weight_bytes);
  upload(host.weight, host.outputs, host.inputs, place.data, parts.stride, parts.dtype);
  parts.weight = place.data;
  if (host.bias != nullptr) {
    upload(host.bias, 1, host.outputs, bias, host.outputs, DType::kF32);
    parts.bias = reinterpret_cast<const float*>(bias);
    if (rounded) {
      std::byte* const rounded_bias = bias + aligned(bias_bytes);
      upload(host.bias, 1, host.outputs, rounded_bias, host.outputs, parts.dtype);
      parts.rounded_bias = rounded_bias;
    }
  }
  return std::make_unique<const DeviceLinear>(host.inputs, host.outputs, parts, place.owner);
}

std::unique_ptr<const ops::Constant> WeightStore::add_constant(const float* host, std::int64_t rows,
                                                               std::int64_t cols) {
  const std::lock_guard lock(mutex_);
  select_device(device_);
  const Place place = take(static_cast<std::size_t>(rows * cols) * sizeof(float));
  upload(host, rows, cols, place.data, cols, DType::kF32);
  return std::make_unique<const DeviceConstant>(
      rows, cols, reinterpret_cast<const float*>(place.data), place.owner);
}

void WeightStore::finish() {
  if (!in_flight_) return;
  const std::lock_guard lock(mutex_);
  select_device(device_);
  synchronize(stream_->get());
  in_flight_ = false;
}

std::size_t WeightStore::bytes() const noexcept {
  const std::lock_guard lock(mutex_);
  return bytes_;
}

}  // namespace itemcrop::cuda
