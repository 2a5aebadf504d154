#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <string>

#include <unistd.h>

#include "itemcrop/error.h"

#include "service/requests/settings.h"

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
    const std::string printed = print_settings(settings);
    write(printed);
    const bool secrets = printed.find("is set, and not shown") != std::string::npos;
    const std::string again = print_settings(itemcrop::service::load_settings(sources));
    if (!secrets && again != printed) std::abort();
  } catch (const itemcrop::Error&) {
  }
  ::unlink(path.c_str());
  return 0;
}
