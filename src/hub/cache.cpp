#include "hub/cache.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <fstream>
#include <system_error>
#include <thread>

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "itemcrop/error.h"

#include "core/atomic_file.h"

namespace itemcrop::hub {
namespace {

namespace fs = std::filesystem;

constexpr std::chrono::milliseconds kLockPatience{100};

[[noreturn]] void fail(const fs::path& path, const std::string& what, int error) {
  throw Error(ErrorCode::kIo,
              path.string() + ": " + what + ": " + std::generic_category().message(error));
}

bool is_commit(std::string_view text) {
  return text.size() == 40 && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

void create_folder(const fs::path& folder) {
  std::error_code problem;
  fs::create_directories(folder, problem);
  if (problem) fail(folder, "cannot create the folder", problem.value());
}

std::string folder_name(const std::string& name) {
  const std::size_t slash = name.find('/');
  if (slash == std::string::npos) return "models--" + name;
  return "models--" + name.substr(0, slash) + "--" + name.substr(slash + 1);
}

}  // namespace

CachedModel::CachedModel(const fs::path& cache, const std::string& name)
    : folder_(cache / folder_name(name)), locks_(cache / ".locks" / folder_name(name)) {}

fs::path CachedModel::blob(const std::string& hash) const { return folder_ / "blobs" / hash; }

fs::path CachedModel::incomplete(const std::string& hash) const {
  return folder_ / "blobs" / (hash + ".incomplete");
}

fs::path CachedModel::snapshot(const std::string& commit) const {
  return folder_ / "snapshots" / commit;
}

void CachedModel::create_folders() const {
  create_folder(folder_ / "blobs");
  create_folder(locks_);
}

void CachedModel::link(const std::string& commit, const std::string& file,
                       const std::string& hash) const {
  const fs::path folder = snapshot(commit);
  create_folder(folder);
  const fs::path place = folder / file;
  const std::string target = "../../blobs/" + hash;
  std::error_code ignored;
  if (fs::is_symlink(place, ignored) && fs::read_symlink(place, ignored) == target) return;
  // Renamed into place, so that it is never missing for who reads it meanwhile.
  const fs::path temporary = temporary_name(place);
  if (::symlink(target.c_str(), temporary.c_str()) != 0 ||
      ::rename(temporary.c_str(), place.c_str()) != 0) {
    const int error = errno;
    ::unlink(temporary.c_str());
    fail(place, "cannot link it", error);
  }
}

void CachedModel::write_reference(const std::string& revision, const std::string& commit) const {
  if (revision == commit) return;
  const fs::path place = folder_ / "refs" / revision;
  create_folder(place.parent_path());
  write_file_atomically(place, commit);
}

std::optional<std::string> CachedModel::commit_of(const std::string& revision) const {
  if (is_commit(revision)) return revision;
  std::string commit;
  std::ifstream(folder_ / "refs" / revision) >> commit;
  if (!is_commit(commit)) return std::nullopt;
  return commit;
}

CachedModel::Lock::Lock(const CachedModel& model, const std::string& hash,
                        const std::stop_token& stop)
    : file_(::open((model.locks_ / (hash + ".lock")).c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666)) {
  const fs::path path = model.locks_ / (hash + ".lock");
  if (file_.get() < 0) fail(path, "cannot open the lock", errno);
  while (::flock(file_.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK && errno != EINTR) fail(path, "cannot lock", errno);
    if (stop.stop_requested()) {
      throw Error(ErrorCode::kCancelled, "cancelled while another process downloads");
    }
    std::this_thread::sleep_for(kLockPatience);
  }
}

}  // namespace itemcrop::hub
