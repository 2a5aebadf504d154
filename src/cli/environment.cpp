#include "cli/environment.h"

#include <cstdlib>
#include <iostream>
#include <system_error>

#include <unistd.h>

namespace itemcrop::cli {
namespace {

std::filesystem::path running_program() {
  std::error_code problem;
  const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", problem);
  return problem ? std::filesystem::path() : program;
}

}  // namespace

Environment process_environment() {
  return {std::cin,
          std::cout,
          std::cerr,
          ::isatty(STDERR_FILENO) != 0,
          [](const std::filesystem::path& folder) { return Model::load(folder); },
          [] { return itemcrop::list_devices(); },
          [](const std::string& name) -> std::optional<std::string> {
            const char* value = std::getenv(name.c_str());
            if (value == nullptr) return std::nullopt;
            return value;
          },
          running_program()};
}

}  // namespace itemcrop::cli
