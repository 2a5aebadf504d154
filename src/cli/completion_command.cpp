#include <ostream>

#include <CLI/App.hpp>

#include "cli/commands.h"
#include "cli/completion.h"
#include "cli/flags.h"

namespace itemcrop::cli {
namespace {

std::vector<std::string> split_choices(const std::string& type) {
  std::vector<std::string> choices;
  std::size_t begin = 0;
  for (;;) {
    const std::size_t bar = type.find('|', begin);
    choices.push_back(type.substr(begin, bar - begin));
    if (bar == std::string::npos) return choices;
    begin = bar + 1;
  }
}

/// The type names of command_line.cpp say what a value is: "DIR", "auto|cpu|cuda", "N".
ValueKind kind_of(const CLI::Option& option) {
  if (is_flag(option)) return ValueKind::kNone;
  const std::string type = option.get_type_name();
  if (type.find('|') != std::string::npos) return ValueKind::kChoice;
  if (type == "DIR" || type == "MODEL") return ValueKind::kFolder;
  if (type == "FILE" || type == "PHOTO") return ValueKind::kFile;
  return ValueKind::kText;
}

CompletionFlag describe(const CLI::Option& option) {
  CompletionFlag flag;
  for (const std::string& name : option.get_snames()) flag.names.push_back("-" + name);
  for (const std::string& name : option.get_lnames()) flag.names.push_back("--" + name);
  flag.description = option.get_description();
  flag.kind = kind_of(option);
  flag.value = option.get_type_name();
  if (flag.kind == ValueKind::kChoice) flag.choices = split_choices(flag.value);
  flag.repeats = option.get_expected_max() > 1 && flag.kind != ValueKind::kNone;
  return flag;
}

}  // namespace

std::vector<CompletionCommand> describe_commands(const CLI::App& app) {
  std::vector<CompletionCommand> commands;
  const auto every = [](const CLI::App*) { return true; };
  for (const CLI::App* subcommand : app.get_subcommands(every)) {
    CompletionCommand command{subcommand->get_name(), subcommand->get_description(), {}, {}};
    for (const CLI::Option* option : subcommand->get_options()) {
      if (option->get_group().empty()) continue;  // hidden from --help too
      (option->get_positional() ? command.positionals : command.flags).push_back(describe(*option));
    }
    commands.push_back(std::move(command));
  }
  return commands;
}

ExitCode run_completion(const CompletionArguments& arguments, const Environment& environment,
                        const CLI::App& app) {
  const std::vector<CompletionCommand> commands = describe_commands(app);
  if (arguments.shell == "bash") environment.out << bash_completion(commands);
  if (arguments.shell == "zsh") environment.out << zsh_completion(commands);
  if (arguments.shell == "fish") environment.out << fish_completion(commands);
  environment.out << std::flush;
  return kOk;
}

}  // namespace itemcrop::cli
