#pragma once

#include <csignal>
#include <memory>
#include <string>

#include <sys/resource.h>

#include "jobs/job_store.h"
#include "support/temporary_folder.h"

namespace itemcrop::test {

inline jobs::NewJob job_of(const std::string& name, int images, std::size_t bytes = 0) {
  jobs::NewJob job;
  job.options = "{\"name\": \"" + name + "\"}";
  job.owner = "owner of " + name;
  for (int i = 0; i < images; ++i) {
    const std::string number = std::to_string(i);
    job.images.push_back({"id " + number, name + " source " + number,
                          std::string(bytes, static_cast<char>('a' + i % 26))});
  }
  return job;
}

class JobFixture {
 public:
  jobs::JobStoreOptions options() const {
    jobs::JobStoreOptions options;
    options.file = folder_.path() / "jobs.sqlite";
    return options;
  }
  const std::filesystem::path& path() const { return folder_.path(); }

 private:
  TemporaryFolder folder_;
};

/// No file of this process may grow past `bytes` while it lives: a full disk.
class FullDisk {
 public:
  explicit FullDisk(std::uintmax_t bytes) {
    previous_handler_ = std::signal(SIGXFSZ, SIG_IGN);
    ::getrlimit(RLIMIT_FSIZE, &before_);
    rlimit limit = before_;
    limit.rlim_cur = bytes;
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FullDisk() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, previous_handler_);
  }
  FullDisk(const FullDisk&) = delete;
  FullDisk& operator=(const FullDisk&) = delete;

 private:
  rlimit before_{};
  void (*previous_handler_)(int) = nullptr;
};

}  // namespace itemcrop::test
