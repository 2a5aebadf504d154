#pragma once

#include <filesystem>
#include <functional>
#include <iosfwd>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "itemcrop/model.h"

namespace itemcrop::cli {

/// Everything the command line touches outside its arguments, so that tests can replace it.
struct Environment {
  std::istream& in;
  std::ostream& out;
  std::ostream& err;
  bool err_is_terminal = false;  ///< a progress bar is drawn only then
  std::function<std::shared_ptr<const Model>(const std::filesystem::path&)> load_model;
  std::function<std::vector<DeviceInfo>()> list_devices;
  std::function<std::optional<std::string>(const std::string&)> variable;  ///< getenv
  std::filesystem::path executable;  ///< the running program; empty if unknown
};

/// The process' own streams, variables and engine.
Environment process_environment();

}  // namespace itemcrop::cli
