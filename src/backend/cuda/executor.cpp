#include "backend/cuda/executor.h"

#include <algorithm>
#include <exception>
#include <string>
#include <utility>

#include "backend/cuda/kernels/feed_forward.h"
#include "backend/cuda/pixel_upload.h"

namespace itemcrop::cuda {
namespace {

/// Commands a list: the first is short, so that the device starts early; the others are long enough
/// for a graph to pay.
constexpr std::size_t kFirstList = 32;
constexpr std::size_t kNextLists = 160;

/// What one download() brings back at once.
constexpr std::size_t kResultBytes = std::size_t{1} << 20;

}  // namespace

/// Events around every op. Each op's commands are submitted at once, so that they time it alone.
class CudaExecutor::EventProfiler final : public ops::Profiler {
 public:
  explicit EventProfiler(CudaExecutor& executor) : executor_(executor) {}

  void begin(const char* op, const ops::LinearWeights* product) override {
    executor_.send(false);
    auto span = std::make_unique<Span>();
    span->name = ops::profile_name(op, product);
    if (product != nullptr && on_device(*product).dtype() == DType::kF32) span->name += " fp32";
    span->start.record(executor_.stream_->get());
    spans_.push_back(std::move(span));
  }
  void end() override {
    executor_.send(false);
    spans_.back()->end.record(executor_.stream_->get());
  }

  /// Of all ops so far, which the device must have finished.
  ops::Profile& profile() {
    for (const auto& span : spans_) {
      ops::OpTime& time = profile_[span->name];
      time.milliseconds += static_cast<double>(span->end.milliseconds_since(span->start));
      ++time.calls;
    }
    spans_.clear();
    return profile_;
  }

 private:
  struct Span {
    std::string name;
    Event start, end;
  };
  CudaExecutor& executor_;
  std::vector<std::unique_ptr<Span>> spans_;
  ops::Profile profile_;
};

CudaExecutor::CudaExecutor(std::shared_ptr<const DeviceState> device, DryRun)
    : device_(std::move(device)), graphs_(0), staging_(device_->index) {
  check_shapes();
}

CudaExecutor::CudaExecutor(std::shared_ptr<const DeviceState> device, std::size_t arena_bytes,
                           int threads)
    : device_(std::move(device)), graphs_(device_->tuning.graphs), staging_(device_->index) {
  select_device(device_->index);
  arena_ = Memory(MemoryKind::kDevice, arena_bytes);
  for (Memory& workspace : workspaces_) {
    workspace = Memory(MemoryKind::kDevice, Products::kWorkspaceBytes);
  }
  results_ = Memory(MemoryKind::kPinned, kResultBytes);
  stream_ = std::make_unique<OwnedStream>();
  tickets_ = Memory(
      MemoryKind::kDevice,
      kernels::feed_forward_tickets(device_->properties.multiprocessors) * sizeof(std::uint32_t));
  fill_zero(stream_->get(), tickets_.data(), tickets_.bytes());
  side_stream_ = std::make_unique<OwnedStream>();
  fork_ = std::make_unique<Event>();
  join_ = std::make_unique<Event>();
  pixels_ = std::make_unique<PixelUpload>(device_->index, threads);
  if (!device_->tuning.profile) return;
  events_ = std::make_unique<EventProfiler>(*this);
  set_profiler(events_.get());
}

CudaExecutor::~CudaExecutor() {
  if (is_dry_run() || !in_flight_) return;
  try {
    wait();  // memory must outlive the work that uses it
  } catch (const std::exception&) {
    // A lost device runs nothing any more.
  }
}

std::size_t CudaExecutor::peak_bytes() const noexcept {
  std::size_t bytes = 0;
  for (const Extent& extent : extents_) bytes += extent.peak;
  for (const Memory& workspace : workspaces_) bytes += workspace.bytes();
  return bytes;
}

void CudaExecutor::send_if_many() {
  // A list ends with both branches joined, so a fork is better not cut.
  const std::size_t many = (lists_ == 0 ? kFirstList : kNextLists) + (forked_ ? kNextLists : 0);
  if (commands_.size() >= many) send();
}

void CudaExecutor::send(bool again) {
  if (is_dry_run()) return;
  launch_small_products();
  if (forked_) commands_.add_join();
  forked_ = false;
  sent_.clear();
  staging_.commit(sent_);
  sent_.add(commands_);
  commands_.clear();
  if (sent_.size() == 0) return;
  select_device(device_->index);
  device_->weights.finish();
  in_flight_ = true;
  ++lists_;
  if (again && events_ == nullptr) {
    graphs_.run(sent_, context());
  } else {
    sent_.run(context());
  }
}

void CudaExecutor::wait() {
  if (in_flight_) {
    select_device(device_->index);
    synchronize(stream_->get());
    in_flight_ = false;
  }
  staging_.reset();
  pixels_->tables.reset();
  descriptor_cache_.clear();
  lists_ = 0;
}

CommandContext CudaExecutor::context() const noexcept {
  return {.streams = {stream_->get(), side_stream_->get()},
          .workspaces = {workspaces_[0].data(), workspaces_[1].data()},
          .products = &device_->products,
          .fork = fork_.get(),
          .join = join_.get(),
          .early_launches = device_->early_launches};
}

ops::Profile& CudaExecutor::profile() {
  send(false);
  wait();
  return events_->profile();
}

}  // namespace itemcrop::cuda
