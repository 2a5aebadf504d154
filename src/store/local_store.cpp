#include "store/local_store.h"

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "itemcrop/error.h"

#include "core/atomic_file.h"
#include "store/key.h"

namespace itemcrop::store {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kProbeFile = ".itemcrop-check";
/// A temporary file of core/atomic_file.h that is older belongs to nobody any more.
constexpr std::chrono::hours kTemporaryAge{1};

[[noreturn]] void fail(const std::string& what, const std::error_code& problem) {
  throw Error(ErrorCode::kIo, "store: " + what + ": " + problem.message());
}

bool is_temporary(const fs::path& path) {
  const std::string name = path.filename().string();
  return name.starts_with(".itemcrop-") && name.ends_with(".tmp");
}

struct Entry {
  fs::path path;
  fs::file_time_type modified;
  std::uint64_t size = 0;
};

/// A file that vanishes meanwhile is skipped.
std::vector<Entry> files_beneath(const fs::path& folder) {
  std::vector<Entry> found;
  std::error_code problem;
  fs::recursive_directory_iterator at(folder, fs::directory_options::skip_permission_denied,
                                      problem);
  for (; !problem && at != fs::recursive_directory_iterator(); at.increment(problem)) {
    std::error_code ignored;
    if (at->is_symlink(ignored) || !at->is_regular_file(ignored)) continue;
    Entry entry{at->path(), at->last_write_time(ignored), 0};
    if (!ignored) entry.size = at->file_size(ignored);
    if (!ignored) found.push_back(std::move(entry));
  }
  return found;
}

}  // namespace

LocalStore::LocalStore(LocalStoreOptions options) : options_(std::move(options)) {
  std::error_code problem;
  fs::create_directories(options_.folder, problem);
  if (problem) fail("cannot create folder '" + options_.folder.string() + "'", problem);
}

std::string LocalStore::put(const std::string& key, std::span<const std::byte> bytes,
                            std::string_view, std::stop_token stop) {
  check_key(key);
  if (stop.stop_requested()) throw Error(ErrorCode::kCancelled, "store: cancelled");
  const fs::path path = options_.folder / key;
  try {
    try {
      write_file_atomically(path, bytes);
    } catch (const Error& error) {
      if (error.code() != ErrorCode::kNotFound) throw;
      // The first file of a folder, or a sweep took it away.
      std::error_code problem;
      fs::create_directories(path.parent_path(), problem);
      if (problem) fail("cannot create the folder of '" + key + "'", problem);
      write_file_atomically(path, bytes);
    }
  } catch (const Error& error) {
    // It names the whole path; callers are told the reason alone.
    const std::string text = error.what();
    throw Error(ErrorCode::kIo, "store: cannot write '" + key + "'" +
                                    text.substr(std::min(text.size(), text.rfind(": "))));
  }
  bytes_since_sweep_ += bytes.size();
  return options_.public_url + key;
}

bool LocalStore::is_sweep_due() const noexcept {
  return options_.max_bytes > 0 && bytes_since_sweep_ > options_.max_bytes / 10;
}

void LocalStore::check(std::stop_token) {
  std::error_code problem;
  const fs::space_info space = fs::space(options_.folder, problem);
  if (problem) fail("cannot see folder '" + options_.folder.string() + "'", problem);
  if (space.available < options_.min_free_bytes) {
    throw Error(ErrorCode::kIo, "store: " + std::to_string(space.available) +
                                    " bytes are free, min_free_bytes is " +
                                    std::to_string(options_.min_free_bytes));
  }
  const fs::path probe = options_.folder / kProbeFile;
  try {
    write_file_atomically(probe, "itemcrop");
  } catch (const Error& error) {
    throw Error(ErrorCode::kIo, error.what());
  }
  fs::remove(probe, problem);
}

std::unique_ptr<StoredFile> LocalStore::open(std::string_view key) const {
  if (!is_key(key)) return nullptr;
  // Folder by folder and never through a link, so that nothing outside can be reached even if
  // somebody else can write into the store.
  int at = ::open(options_.folder.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
  while (at >= 0) {
    const FileDescriptor folder(at);
    const std::size_t slash = key.find('/');
    const std::string name(key.substr(0, slash));
    const int kind = slash == std::string_view::npos ? O_RDONLY | O_NONBLOCK : O_PATH | O_DIRECTORY;
    at = ::openat(folder.get(), name.c_str(), kind | O_NOFOLLOW | O_CLOEXEC);
    if (slash == std::string_view::npos) break;
    key.remove_prefix(slash + 1);
  }
  if (at < 0) {
    if (errno == ENOENT || errno == ENOTDIR || errno == ELOOP) return nullptr;
    fail("cannot open a file", std::error_code(errno, std::generic_category()));
  }
  auto file = std::make_unique<StoredFile>(at, content_type_of(key));
  struct stat status {};
  if (::fstat(at, &status) != 0) {
    fail("cannot open a file", std::error_code(errno, std::generic_category()));
  }
  if (!S_ISREG(status.st_mode)) return nullptr;
  file->size = static_cast<std::uint64_t>(status.st_size);
  file->modified = status.st_mtime;
  return file;
}

SweepReport LocalStore::sweep(fs::file_time_type now) const {
  bytes_since_sweep_ = 0;
  std::vector<Entry> files = files_beneath(options_.folder);
  std::sort(files.begin(), files.end(),
            [](const Entry& a, const Entry& b) { return a.modified < b.modified; });
  SweepReport report;
  for (const Entry& file : files) {
    report.bytes_kept += file.size;
    ++report.files_kept;
  }
  for (const Entry& file : files) {
    const auto age = now - file.modified;
    const bool temporary = is_temporary(file.path);
    const bool expired = options_.max_age.count() > 0 && age > options_.max_age;
    const bool crowded = options_.max_bytes > 0 && report.bytes_kept > options_.max_bytes;
    if (temporary ? age <= kTemporaryAge : !expired && !crowded) continue;
    std::error_code problem;
    // Put again since it was listed: then it is not the file that was judged.
    if (fs::last_write_time(file.path, problem) != file.modified || problem) continue;
    if (!fs::remove(file.path, problem) || problem) continue;
    report.bytes_kept -= file.size;
    report.bytes_removed += file.size;
    --report.files_kept;
    ++report.files_removed;
    // Fails, as it should, unless it was the last one. A put that loses its folder makes it anew.
    const fs::path parent = file.path.parent_path();
    if (parent != options_.folder) fs::remove(parent, problem);
  }
  return report;
}

}  // namespace itemcrop::store
