#pragma once

#include <cstddef>
#include <cstdint>
#include <iosfwd>
#include <string>
#include <string_view>

#include "core/stopwatch.h"

namespace itemcrop::cli {

/// One line on a terminal that says how far a run has come: "[#####     ] 12/64  3.1 s/photo  2:41
/// left". Drawn for more than one photo only, and never on anything but a terminal.
class Progress {
 public:
  Progress(std::ostream& terminal, bool enabled, std::size_t total);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// One more photo is finished.
  void advance();
  /// Takes the line away so that something else can be printed; advance() brings it back.
  void clear();

 private:
  void draw();

  std::ostream& terminal_;
  const bool enabled_;
  const std::size_t total_;
  std::size_t done_ = 0;
  bool drawn_ = false;
  Stopwatch watch_;
};

/// The line itself, without control characters.
std::string progress_line(std::size_t done, std::size_t total, double seconds);

/// The same for a download, of which `had_bytes` were here before it began: "model.safetensors
/// [####    ] 120/690 MB  12 MB/s  0:48 left".
std::string transfer_line(const std::string& file, std::uint64_t done_bytes,
                          std::uint64_t total_bytes, std::uint64_t had_bytes, double seconds);

}  // namespace itemcrop::cli
