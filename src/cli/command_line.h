#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cli/arguments.h"

namespace CLI {
class App;
}

namespace itemcrop::cli {

/// Either a command to run, or a text to print (--help, --version).
struct ParsedCommandLine {
  std::optional<Command> command;
  std::string text;
  std::string cpu_isa;  ///< --cpu-isa; empty: the best this processor has
};

/// The definition of every subcommand and flag: one source for parsing, --help and completion.
class CommandLine {
 public:
  CommandLine();
  ~CommandLine();
  CommandLine(const CommandLine&) = delete;
  CommandLine& operator=(const CommandLine&) = delete;

  /// `arguments` without the program's name. Throws Error(kInvalidArgument) naming the flag, its
  /// limit and the value. May be called once.
  ParsedCommandLine parse(const std::vector<std::string>& arguments);

  const CLI::App& app() const noexcept;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace itemcrop::cli
