#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <string>

#include <unistd.h>

#include "itemcrop/error.h"

#include "service/settings.h"

/// A TOML file of settings; what is accepted must print and read again as the same.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const std::string path = "/tmp/itemcrop-settings-fuzz-" + std::to_string(::getpid());
  const auto write = [](const std::string& text) {
    std::ofstream(path, std::ios::binary | std::ios::trunc) << text;
  };
  itemcrop::service::SettingsSources sources;
  sources.file = path;
  try {
    write({reinterpret_cast<const char*>(data), size});
    const auto settings = itemcrop::service::load_settings(sources);
    if (!settings.api_keys.empty() || !settings.s3_secret_key.empty()) return 0;  // "***"
    const std::string printed = print_settings(settings);
    write(printed);
    if (print_settings(itemcrop::service::load_settings(sources)) != printed) std::abort();
  } catch (const itemcrop::Error&) {
  }
  ::unlink(path.c_str());
  return 0;
}
