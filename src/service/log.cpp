#include "service/log.h"

#include <spdlog/logger.h>
#include <spdlog/sinks/stdout_sinks.h>

#include "service/requests/json_answer.h"

namespace itemcrop::service {
namespace {

spdlog::level::level_enum level_of(LogLevel level) noexcept {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarning:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
  }
  return spdlog::level::err;
}

/// Values may quote untrusted input, so line breaks are escaped.
std::string plain(std::string_view value) {
  std::string text;
  for (const char c : value) {
    text.push_back(static_cast<unsigned char>(c) < 0x20 || c == 0x7F ? ' ' : c);
  }
  return text.find(' ') == text.npos && !text.empty() ? text : '"' + text + '"';
}

}  // namespace

struct Log::Sink {
  bool json = false;
  mutable spdlog::logger logger{"itemcrop", std::make_shared<spdlog::sinks::stderr_sink_mt>()};
};

Log::Log(const std::string& format, const std::string& level) : sink_(std::make_unique<Sink>()) {
  sink_->json = format == "json";
  sink_->logger.set_level(spdlog::level::from_str(level));
  sink_->logger.flush_on(spdlog::level::debug);
  sink_->logger.set_pattern(sink_->json ? R"({"time":"%Y-%m-%dT%H:%M:%S.%e%z","level":"%l",%v})"
                                        : "%H:%M:%S.%e %l %v");
}

Log::~Log() = default;

void Log::write(LogLevel level, std::string_view event, const Fields& fields) const {
  const auto wanted = level_of(level);
  if (!sink_->logger.should_log(wanted)) return;
  std::string line;
  if (sink_->json) {
    nlohmann::ordered_json json = {{"event", event}};
    for (const auto& [name, value] : fields) {
      std::visit([&, &name = name](const auto& held) { json[std::string(name)] = held; }, value);
    }
    line = dump(json);
    line = line.substr(1, line.size() - 2);
  } else {
    line = event;
    for (const auto& [name, value] : fields) {
      const auto* text = std::get_if<std::string>(&value);
      line.append(" ").append(name).append("=");
      line += text != nullptr ? plain(*text) : std::to_string(std::get<std::int64_t>(value));
    }
  }
  sink_->logger.log(wanted, spdlog::string_view_t(line));
}

}  // namespace itemcrop::service
