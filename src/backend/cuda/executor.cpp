#include "backend/cuda/executor.h"

#include <algorithm>
#include <exception>

#include "backend/cuda/op.h"
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

/// Events around every op.
struct CudaExecutor::Profile {
  struct Span {
    std::string name;
    Event start, end;
  };
  std::vector<std::unique_ptr<Span>> spans;
  std::map<std::string, OpTime> times;
};

CudaExecutor::CudaExecutor(std::shared_ptr<const DeviceState> device, Rehearsal)
    : device_(std::move(device)), graphs_(0) {}

CudaExecutor::CudaExecutor(std::shared_ptr<const DeviceState> device, std::size_t arena_bytes,
                           int threads)
    : device_(std::move(device)), graphs_(device_->tuning.graphs) {
  select_device(device_->index);
  arena_ = Memory(MemoryKind::kDevice, arena_bytes);
  for (Memory& workspace : workspaces_) {
    workspace = Memory(MemoryKind::kDevice, Products::kWorkspaceBytes);
  }
  results_ = Memory(MemoryKind::kPinned, kResultBytes);
  stream_ = std::make_unique<OwnedStream>();
  side_stream_ = std::make_unique<OwnedStream>();
  fork_ = std::make_unique<Event>();
  join_ = std::make_unique<Event>();
  pixels_ = std::make_unique<PixelUpload>(threads);
  if (device_->tuning.profile) profile_ = std::make_unique<Profile>();
}

CudaExecutor::~CudaExecutor() {
  if (rehearses() || !under_way_) return;
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
  if (rehearses()) return;
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
  under_way_ = true;
  ++lists_;
  if (again && profile_ == nullptr) {
    graphs_.run(sent_, context());
  } else {
    sent_.run(context());
  }
}

void CudaExecutor::wait() {
  if (under_way_) {
    select_device(device_->index);
    synchronize(stream_->get());
    under_way_ = false;
  }
  staging_.reset();
  pixels_->tables.reset();
  remembered_.clear();
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

std::map<std::string, OpTime>& CudaExecutor::op_times() {
  send(false);
  wait();
  for (const auto& span : profile_->spans) {
    OpTime& time = profile_->times[span->name];
    time.milliseconds += static_cast<double>(span->end.milliseconds_since(span->start));
    ++time.calls;
  }
  profile_->spans.clear();
  return profile_->times;
}

CudaExecutor::Op::Op(CudaExecutor& executor, const char* name, const ops::Linear* weight)
    : executor_(executor), mark_(executor.arena_mark()), exceptions_(std::uncaught_exceptions()) {
  if (executor_.profile_ == nullptr) return;
  executor_.send(false);
  auto span = std::make_unique<Profile::Span>();
  span->name = name;
  if (weight != nullptr) {
    span->name += " " + std::to_string(weight->inputs()) + " -> " +
                  std::to_string(weight->outputs()) +
                  (on_device(*weight).dtype() == DType::kF32 ? " fp32" : "");
  }
  span->start.record(executor_.stream_->get());
  executor_.profile_->spans.push_back(std::move(span));
}

CudaExecutor::Op::~Op() noexcept(false) {
  executor_.arena_release(mark_);
  if (executor_.profile_ == nullptr || std::uncaught_exceptions() > exceptions_) return;
  executor_.send(false);
  executor_.profile_->spans.back()->end.record(executor_.stream_->get());
}

}  // namespace itemcrop::cuda
