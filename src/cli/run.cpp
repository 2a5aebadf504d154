#include "cli/run.h"

#include <cstdlib>
#include <exception>
#include <new>
#include <ostream>
#include <type_traits>
#include <utility>

#include "itemcrop/error.h"

#include "cli/command_line.h"
#include "cli/commands.h"
#include "cli/words.h"

namespace itemcrop::cli {
namespace {

ExitCode dispatch(const Command& command, const Environment& environment, const CLI::App& app) {
  return std::visit(
      [&](const auto& arguments) {
        using Arguments = std::decay_t<decltype(arguments)>;
        if constexpr (std::is_same_v<Arguments, CropArguments>) {
          return run_crop(arguments, environment);
        } else if constexpr (std::is_same_v<Arguments, DetectArguments>) {
          return run_detect(arguments, environment);
        } else if constexpr (std::is_same_v<Arguments, InfoArguments>) {
          return run_info(arguments, environment);
        } else if constexpr (std::is_same_v<Arguments, VerifyArguments>) {
          return run_verify(arguments, environment);
        } else if constexpr (std::is_same_v<Arguments, DoctorArguments>) {
          return run_doctor(arguments, environment);
        } else if constexpr (std::is_same_v<Arguments, ServeArguments>) {
          return run_serve(arguments, environment);
        } else if constexpr (std::is_same_v<Arguments, ModelsArguments>) {
          return run_models(arguments, environment);
        } else {
          return run_completion(arguments, environment, app);
        }
      },
      command);
}

ExitCode parse_and_run(const std::vector<std::string>& arguments, const Environment& environment) {
  CommandLine command_line;
  ParsedCommandLine parsed;
  try {
    parsed = command_line.parse(arguments);
  } catch (const Error& error) {
    print_error(environment, error.what());
    environment.err << "Try 'itemcrop --help'.\n";
    return kUsage;
  }
  if (!parsed.command) {
    environment.out << parsed.text << std::flush;
    return kOk;
  }
  if (!parsed.cpu_isa.empty()) {
    // The engine reads its instruction set once, when it starts; no other thread exists yet.
    ::setenv("ITEMCROP_CPU_ISA", parsed.cpu_isa.c_str(), 1);
  }
  return dispatch(*parsed.command, environment, command_line.app());
}

}  // namespace

void print_error(const Environment& environment, std::string_view message) {
  environment.err << "itemcrop: error: " << printable(message) << '\n' << std::flush;
}

int run(const std::vector<std::string>& arguments, const Environment& environment) {
  try {
    return parse_and_run(arguments, environment);
  } catch (const Error& error) {
    print_error(environment, error.what());
    return exit_code_of(error.code());
  } catch (const std::bad_alloc&) {
    print_error(environment, "out of memory");
    return kDeviceProblem;
  } catch (const std::exception& error) {
    print_error(environment, std::string("internal: ") + error.what());
    return kInternalProblem;
  }
}

}  // namespace itemcrop::cli
