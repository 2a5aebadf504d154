#pragma once

#include <cstddef>
#include <filesystem>
#include <fstream>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

namespace itemcrop::cli {

/// What is known of a run, in DIR/.itemcrop/run.json.
struct RunRecord {
  std::string version;
  std::string date;            ///< when it began, as RFC 3339
  nlohmann::ordered_json run;  ///< "model", "items", "categories" and "settings", as asked for
  std::size_t photos = 0;      ///< that it was asked for
  bool complete = false;       ///< it was not interrupted
};

/// The names of what differs between two runs: "model", "items", "threshold". Empty: they would
/// find the same.
std::vector<std::string> differences(const RunRecord& a, const RunRecord& b);

/// The output folder of a run. Beside the results it keeps DIR/.itemcrop: `run.json`, and
/// `files.txt`, which lists what the run wrote, a path a line, each before it is written, so that
/// nothing else is ever deleted. Results of an earlier run are moved to DIR/previous as a whole, so
/// they are neither lost nor mixed with new ones; there is one such folder, and what a run before
/// that had left there is deleted.
class OutputFolder {
 public:
  /// Looks, and changes nothing. `pages` are the files at the top that the run will write. Throws
  /// Error(kIo): the folder is none, or one of `pages` is there and nobody's results.
  OutputFolder(std::filesystem::path folder, std::span<const std::string_view> pages);

  /// Of the run whose results are here; none: there are none.
  const std::optional<RunRecord>& earlier() const noexcept { return earlier_; }

  /// Where results of an earlier run go: DIR/previous, or DIR/previous-2 if that is somebody's.
  std::filesystem::path previous() const;

  /// Whether open() will move a file away, as a part of earlier results.
  bool moves(const std::filesystem::path& file) const;

  /// Makes the folder and moves earlier results away. Throws Error(kIo) naming what failed.
  void open(const RunRecord& record);
  bool is_open() const noexcept { return list_.is_open(); }

  /// Writes a file so that it is whole or not there. `path` is relative; its folder is made. Throws
  /// Error(kIo).
  void write(const std::filesystem::path& path, std::span<const std::byte> bytes);
  void write(const std::filesystem::path& path, std::string_view text);

  /// Notes that nothing is missing.
  void complete();

  const std::filesystem::path& path() const noexcept { return folder_; }

 private:
  void move_earlier();
  void write_record();
  void note(const std::filesystem::path& path);

  const std::filesystem::path folder_;
  std::optional<RunRecord> earlier_;
  RunRecord record_;
  std::ofstream list_;
};

}  // namespace itemcrop::cli
