#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <stop_token>
#include <string>
#include <vector>

#include "fetch/retry.h"

namespace itemcrop::hub {

struct PullOptions {
  std::string endpoint = "https://huggingface.co";  ///< HF_ENDPOINT
  std::filesystem::path cache;                      ///< holds models--OWNER--NAME
  std::string token;                        ///< HF_TOKEN; empty: none. Sent to the endpoint only
  bool offline = false;                     ///< HF_HUB_OFFLINE: what is in the cache or nothing
  std::chrono::milliseconds stall{30'000};  ///< a connection that sends nothing is given up
  fetch::RetryPolicy retry;                 ///< tries count anew whenever bytes came
};

struct PullProgress {
  std::string file;
  std::uint64_t done = 0;                     ///< bytes of this file here already
  std::uint64_t total = 0;                    ///< bytes of this file
  std::uint64_t all_done = 0, all_total = 0;  ///< of all files
  bool finished = false;                      ///< hash-checked and in its place
};
/// Called often, from the calling thread; should be quick.
using ProgressSink = std::function<void(const PullProgress&)>;

struct PulledModel {
  std::filesystem::path folder;  ///< the snapshot: config.json and the rest
  std::string commit;
  std::vector<std::string> files;
};

/// The files of a checkpoint that the engine reads, out of those a repository holds. Shards are
/// not among them: their index names them. Throws Error(kUnsupportedModel): a file it needs is
/// missing.
std::vector<std::string> files_to_pull(const std::vector<std::string>& held);

/// Brings a model into the cache, or what is missing of it. Interrupted at any point, the cache
/// stays good and the next call goes on where this one ended; the snapshot is linked when all of
/// it is here. Several processes may pull at once.
/// Throws Error: kInvalidArgument (names), kNotFound (no such model or revision), kForbidden (the
/// hub asks for a token, or for another), kUnsupportedModel (no safetensors), kUnavailable,
/// kDeadlineExceeded, kIo (disk; it may be full), kCancelled.
PulledModel pull(const std::string& model, const std::string& revision, const PullOptions& options,
                 const ProgressSink& progress = {}, std::stop_token stop = {});

}  // namespace itemcrop::hub
