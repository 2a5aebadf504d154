#include "cli/progress.h"

#include <algorithm>
#include <cmath>
#include <ostream>

#include "cli/words.h"

namespace itemcrop::cli {
namespace {

constexpr std::size_t kBarWidth = 24;
constexpr std::string_view kEraseLine = "\r\x1b[K";

std::string clock_time(double seconds) {
  const auto whole = static_cast<long long>(std::lround(seconds));
  const std::string rest = std::to_string(whole % 60);
  return std::to_string(whole / 60) + ":" + (rest.size() < 2 ? "0" : "") + rest;
}

}  // namespace

std::string progress_line(std::size_t done, std::size_t total, double seconds) {
  const std::size_t filled = total > 0 ? kBarWidth * done / total : kBarWidth;
  std::string line = "[" + std::string(filled, '#') + std::string(kBarWidth - filled, ' ') + "] " +
                     std::to_string(done) + "/" + std::to_string(total);
  if (done > 0) {
    const double each = seconds / static_cast<double>(done);
    line += "  " + fixed(each, each < 10 ? 1 : 0) + " s/photo  " +
            clock_time(each * static_cast<double>(total - done)) + " left";
  }
  return line;
}

std::string transfer_line(const std::string& file, std::uint64_t done_bytes,
                          std::uint64_t total_bytes, std::uint64_t had_bytes, double seconds) {
  constexpr double kMega = 1e6;
  const double done = static_cast<double>(done_bytes);
  const double total = static_cast<double>(total_bytes);
  const double share = total > 0 ? std::min(1.0, done / total) : 1;
  const auto filled = static_cast<std::size_t>(share * static_cast<double>(kBarWidth));
  std::string line = printable(file) + " [" + std::string(filled, '#') +
                     std::string(kBarWidth - filled, ' ') + "] " + fixed(done / kMega, 0) + "/" +
                     fixed(total / kMega, 0) + " MB";
  if (done_bytes > had_bytes && seconds > 0) {
    const double rate = (done - static_cast<double>(had_bytes)) / seconds;
    line += "  " + fixed(rate / kMega, 1) + " MB/s  " +
            clock_time(std::max(0.0, total - done) / rate) + " left";
  }
  return line;
}

Progress::Progress(std::ostream& terminal, bool enabled, std::size_t total)
    : terminal_(terminal), enabled_(enabled && total > 1), total_(total) {
  draw();
}

Progress::~Progress() { clear(); }

void Progress::advance() {
  ++done_;
  draw();
}

void Progress::clear() {
  if (!drawn_) return;
  terminal_ << kEraseLine << std::flush;
  drawn_ = false;
}

void Progress::draw() {
  if (!enabled_) return;
  terminal_ << kEraseLine << progress_line(done_, total_, watch_.seconds()) << std::flush;
  drawn_ = true;
}

}  // namespace itemcrop::cli
