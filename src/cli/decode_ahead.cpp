#include "cli/decode_ahead.h"

#include <algorithm>
#include <exception>
#include <new>
#include <utility>

#include "core/stopwatch.h"

namespace itemcrop::cli {
namespace {

DecodedPhoto read(const PhotoSource& source, const PhotoReader& reader) {
  DecodedPhoto photo;
  photo.source = source;
  const Stopwatch watch;
  try {
    photo.image = reader(source);
  } catch (const Error& error) {
    photo.error = error;
  } catch (const std::bad_alloc&) {
    photo.error = Error(ErrorCode::kOutOfMemory, "not enough memory to decode the photo");
  } catch (const std::exception& error) {
    photo.error = Error(ErrorCode::kInternal, error.what());
  }
  photo.decode_ms = watch.milliseconds();
  return photo;
}

}  // namespace

DecodeAhead::DecodeAhead(std::vector<PhotoSource> sources, PhotoReader reader, std::size_t capacity)
    : sources_(std::move(sources)),
      reader_(std::move(reader)),
      capacity_(std::max<std::size_t>(capacity, 1)),
      worker_([this] { work(); }) {}

DecodeAhead::~DecodeAhead() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  worker_.join();
}

std::optional<DecodedPhoto> DecodeAhead::next() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return !ready_.empty() || finished_; });
  if (ready_.empty()) return std::nullopt;
  DecodedPhoto photo = std::move(ready_.front());
  ready_.pop_front();
  lock.unlock();
  changed_.notify_all();
  return photo;
}

void DecodeAhead::work() {
  for (const PhotoSource& source : sources_) {
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return ready_.size() < capacity_ || stopping_; });
      if (stopping_) return;
    }
    DecodedPhoto photo = read(source, reader_);
    {
      const std::lock_guard lock(mutex_);
      ready_.push_back(std::move(photo));
    }
    changed_.notify_all();
  }
  {
    const std::lock_guard lock(mutex_);
    finished_ = true;
  }
  changed_.notify_all();
}

}  // namespace itemcrop::cli
