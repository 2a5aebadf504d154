#pragma once

#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace itemcrop::cli {

/// What a shell may offer for a value.
enum class ValueKind { kNone, kFolder, kFile, kChoice, kText };

struct CompletionFlag {
  std::vector<std::string> names;  ///< "-o", "--out"; empty for a positional
  std::string description;
  ValueKind kind = ValueKind::kNone;  ///< kNone: takes no value
  std::string value;                  ///< "DIR"
  std::vector<std::string> choices;   ///< kChoice
  bool repeats = false;
};

struct CompletionCommand {
  std::string name;
  std::string description;
  std::vector<CompletionFlag> flags;
  std::vector<CompletionFlag> positionals;
};

/// The subcommands and flags of the command line.
std::vector<CompletionCommand> describe_commands(const CLI::App& app);

std::string bash_completion(const std::vector<CompletionCommand>& commands);
std::string zsh_completion(const std::vector<CompletionCommand>& commands);
std::string fish_completion(const std::vector<CompletionCommand>& commands);

}  // namespace itemcrop::cli
