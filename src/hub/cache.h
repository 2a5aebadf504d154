#pragma once

#include <filesystem>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include "core/file_descriptor.h"

namespace itemcrop::hub {

/// One model in the Hugging Face cache, laid out as huggingface_hub does it:
///   models--OWNER--NAME/blobs/HASH                  contents
///   models--OWNER--NAME/refs/REVISION               the commit that a branch or tag is at
///   models--OWNER--NAME/snapshots/COMMIT/FILE       links to ../../blobs/HASH
///   .locks/models--OWNER--NAME/HASH.lock            held (flock) while a content is downloaded
class CachedModel {
 public:
  CachedModel(const std::filesystem::path& cache, const std::string& name);

  std::filesystem::path blob(const std::string& hash) const;
  /// A download in progress or interrupted, as huggingface_hub calls it.
  std::filesystem::path incomplete(const std::string& hash) const;
  std::filesystem::path snapshot(const std::string& commit) const;

  /// Throws Error(kIo).
  void create_folders() const;
  /// Makes FILE of a snapshot mean that content. Throws Error(kIo).
  void link(const std::string& commit, const std::string& file, const std::string& hash) const;
  void write_reference(const std::string& revision, const std::string& commit) const;
  /// The commit of a revision; a commit is its own.
  std::optional<std::string> commit_of(const std::string& revision) const;

  /// While it lives, no other process that keeps to the locks downloads that content.
  class Lock {
   public:
    /// Waits. Throws Error: kIo, kCancelled.
    Lock(const CachedModel& model, const std::string& hash, const std::stop_token& stop);

   private:
    FileDescriptor file_;
  };

 private:
  std::filesystem::path folder_;
  std::filesystem::path locks_;
};

}  // namespace itemcrop::hub
