#include "hub/download.h"

#include <cerrno>
#include <string>
#include <system_error>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "itemcrop/error.h"

#include "core/file_descriptor.h"
#include "hub/file_hash.h"

namespace itemcrop::hub {
namespace {

namespace fs = std::filesystem;

/// The growing file.
class PartialFile {
 public:
  explicit PartialFile(fs::path path)
      : path_(std::move(path)),
        file_(::open(path_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666)) {
    struct stat status {};
    if (file_.get() < 0 || ::fstat(file_.get(), &status) != 0) fail("cannot open it");
    size_ = static_cast<std::uint64_t>(status.st_size);
  }

  std::uint64_t size() const noexcept { return size_; }

  void append(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      const ssize_t count =
          ::pwrite(file_.get(), bytes.data(), bytes.size(), static_cast<off_t>(size_));
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) fail("cannot write");
      size_ += static_cast<std::uint64_t>(count);
      bytes = bytes.subspan(static_cast<std::size_t>(count));
    }
  }

  void clear() {
    if (::ftruncate(file_.get(), 0) != 0) fail("cannot empty it");
    size_ = 0;
  }

  void flush() {
    if (::fsync(file_.get()) != 0) fail("cannot flush");
  }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    throw Error(ErrorCode::kIo,
                path_.string() + ": " + what + ": " + std::generic_category().message(errno));
  }

  fs::path path_;
  FileDescriptor file_;
  std::uint64_t size_ = 0;
};

/// What is written next continues the file, or it is another answer than was asked for.
bool continues_at(const fetch::HttpResponse& head, std::uint64_t offset) {
  return head.header("Content-Range").starts_with("bytes " + std::to_string(offset) + "-");
}

/// One try. The answer's status; 2xx if all of the body is in the file.
fetch::HttpResponse download_rest(const HubApi& api, const RemoteFile& file,
                                  const PullOptions& options, PartialFile& partial,
                                  const std::function<void(std::uint64_t)>& done,
                                  const std::stop_token& stop) {
  const std::uint64_t offset = partial.size();
  fetch::HttpRequest request;
  request.url = file.url;
  request.deadline = std::chrono::milliseconds(0);
  request.stall = options.stall;
  request.max_response_bytes = file.size + (1 << 20);
  request.headers = {{"Accept-Encoding", "identity"}};
  if (offset > 0) request.headers.emplace_back("Range", "bytes=" + std::to_string(offset) + "-");
  bool first = true;
  request.on_body = [&](const fetch::HttpResponse& head, std::span<const std::byte> piece) {
    if (std::exchange(first, false)) {
      if (head.status != 206) {
        partial.clear();
      } else if (!continues_at(head, offset)) {
        throw Error(ErrorCode::kUnavailable, "the hub sends another range than was asked for");
      }
    }
    if (piece.size() > file.size - partial.size()) {
      partial.clear();
      throw Error(
          ErrorCode::kUnavailable,
          "the hub sends more than the " + std::to_string(file.size) + " bytes of " + file.name);
    }
    partial.append(piece);
    done(partial.size());
  };
  return api.send(request, false, stop);
}

void download_all(const HubApi& api, const RemoteFile& file, const PullOptions& options,
                  PartialFile& partial, const std::function<void(std::uint64_t)>& done,
                  const std::stop_token& stop) {
  fetch::RetryBudget budget;
  const fetch::RetryClock clock = fetch::system_retry_clock();
  fetch::RetrySchedule schedule(options.retry, budget, clock);
  if (partial.size() > file.size) partial.clear();
  while (partial.size() < file.size) {
    const std::uint64_t before = partial.size();
    std::optional<std::chrono::milliseconds> wanted;
    try {
      const fetch::HttpResponse response = download_rest(api, file, options, partial, done, stop);
      if (response.status == 416) partial.clear();
      if (response.status != 416 && !fetch::is_transient(response.status)) api.check(response);
      if (partial.size() == file.size) return;
      wanted = fetch::retry_after(response.header("Retry-After"));
    } catch (const Error& error) {
      if (!fetch::is_transient(error.code())) throw;
      if (partial.size() > before) schedule.progress();
      if (!schedule.pause(std::nullopt, stop)) throw;
      continue;
    }
    if (partial.size() > before) schedule.progress();
    if (!schedule.pause(wanted, stop)) {
      throw Error(ErrorCode::kUnavailable, "the hub does not send all of " + file.name);
    }
  }
}

}  // namespace

void download(const HubApi& api, const CachedModel& cached, const RemoteFile& file,
              const PullOptions& options, const std::function<void(std::uint64_t)>& done,
              const std::stop_token& stop) {
  std::error_code ignored;
  if (fs::exists(cached.blob(file.hash), ignored)) return done(file.size);
  const CachedModel::Lock lock(cached, file.hash, stop);
  // Another process may have been quicker.
  if (fs::exists(cached.blob(file.hash), ignored)) return done(file.size);
  const fs::path path = cached.incomplete(file.hash);
  PartialFile partial(path);
  for (int attempt = 0;; ++attempt) {
    // What was resumed may have been damaged, so a wrong hash is given one fresh download.
    const bool resumed = partial.size() > 0;
    download_all(api, file, options, partial, done, stop);
    partial.flush();
    if (file_matches(path, file.hash)) break;
    partial.clear();
    if (!resumed || attempt > 0) {
      fs::remove(path, ignored);
      throw Error(ErrorCode::kUnavailable,
                  file.name + ": what the hub sent does not have the hash " + file.hash);
    }
  }
  std::error_code problem;
  fs::rename(path, cached.blob(file.hash), problem);
  if (problem) {
    throw Error(ErrorCode::kIo, path.string() + ": cannot rename it: " + problem.message());
  }
}

}  // namespace itemcrop::hub
