#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace itemcrop::service {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

/// Lines on standard error, as text or JSON. Never given images, keys or whole URLs.
/// Thread-safe.
class Log {
 public:
  using Value = std::variant<std::string, std::int64_t>;
  using Fields = std::vector<std::pair<std::string_view, Value>>;

  /// `format`: "text" or "json"; `level`: "debug", "info", "warning", "error" or "off".
  Log(const std::string& format, const std::string& level);
  ~Log();

  void write(LogLevel level, std::string_view event, const Fields& fields = {}) const;
  void info(std::string_view event, const Fields& fields = {}) const {
    write(LogLevel::kInfo, event, fields);
  }
  void warning(std::string_view event, const Fields& fields = {}) const {
    write(LogLevel::kWarning, event, fields);
  }
  void error(std::string_view event, const Fields& fields = {}) const {
    write(LogLevel::kError, event, fields);
  }

 private:
  struct Sink;
  std::unique_ptr<Sink> sink_;
};

}  // namespace itemcrop::service
