#include "cli/completion.h"

#include "cli/words.h"
#include "core/ascii.h"
#include "core/words.h"

namespace itemcrop::cli {
namespace {

/// `text` in single quotes for bash and zsh.
std::string shell_quoted(const std::string& text) {
  std::string result = "'";
  for (const char c : text) {
    if (c == '\'') {
      result += "'\\''";
    } else {
      result += c;
    }
  }
  return result + "'";
}

/// fish escapes \ and ' inside single quotes by a backslash.
std::string fish_quoted(const std::string& text) {
  std::string result = "'";
  for (const char c : text) {
    if (c == '\\' || c == '\'') result += '\\';
    result += c;
  }
  return result + "'";
}

std::string bash_offer(const CompletionFlag& flag) {
  switch (flag.kind) {
    case ValueKind::kChoice:
      return "compgen -W " + shell_quoted(join(flag.choices, " ")) + " -- \"$current\"";
    case ValueKind::kFolder:
      return "compgen -d -- \"$current\"";
    case ValueKind::kFile:
      return "compgen -f -- \"$current\"";
    case ValueKind::kNone:
    case ValueKind::kText:
      break;
  }
  return "true";
}

std::string zsh_action(const CompletionFlag& flag) {
  switch (flag.kind) {
    case ValueKind::kChoice:
      return "(" + join(flag.choices, " ") + ")";
    case ValueKind::kFolder:
      return "_files -/";
    case ValueKind::kFile:
      return "_files";
    case ValueKind::kNone:
    case ValueKind::kText:
      break;
  }
  return " ";
}

/// _arguments gives ':' '[' ']' and '\' a meaning.
std::string zsh_escaped(const std::string& text) {
  std::string result;
  for (const char c : text) {
    if (c == ':' || c == '[' || c == ']' || c == '\\') result += '\\';
    result += c;
  }
  return result;
}

/// One _arguments specification a name: each excludes the other unless the flag repeats.
std::string zsh_specs(const CompletionFlag& flag) {
  std::string specs;
  for (const std::string& name : flag.names) {
    std::string spec = flag.repeats ? "*" : "(" + join(flag.names, " ") + ")";
    spec += name + "[" + zsh_escaped(flag.description) + "]";
    if (flag.kind != ValueKind::kNone) {
      spec += ":" + zsh_escaped(lower(flag.value)) + ":" + zsh_action(flag);
    }
    specs += "        " + shell_quoted(spec) + " \\\n";
  }
  return specs;
}

std::string fish_offer(const CompletionFlag& flag) {
  switch (flag.kind) {
    case ValueKind::kChoice:
      return " -x -a " + fish_quoted(join(flag.choices, " "));
    case ValueKind::kFolder:
      return " -x -a '(__fish_complete_directories)'";
    case ValueKind::kFile:
      return " -r -F";
    case ValueKind::kText:
      return " -x";
    case ValueKind::kNone:
      break;
  }
  return "";
}

}  // namespace

std::string bash_completion(const std::vector<CompletionCommand>& commands) {
  std::vector<std::string> names;
  for (const CompletionCommand& command : commands) names.push_back(command.name);
  std::string script =
      "# bash completion for itemcrop; written by 'itemcrop completion bash'\n"
      "_itemcrop() {\n"
      "  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]}\n"
      "  local command=${COMP_WORDS[1]}\n"
      "  COMPREPLY=()\n"
      "  if ((COMP_CWORD == 1)); then\n"
      "    mapfile -t COMPREPLY < <(compgen -W " +
      shell_quoted(join(names, " ") + " --help --version") +
      " -- \"$current\")\n"
      "    return\n"
      "  fi\n"
      "  case \"$command $previous\" in\n";
  for (const CompletionCommand& command : commands) {
    for (const CompletionFlag& flag : command.flags) {
      if (flag.kind == ValueKind::kNone) continue;
      std::vector<std::string> patterns;
      for (const std::string& name : flag.names)
        patterns.push_back(shell_quoted(command.name + " " + name));
      script += "    " + join(patterns, " | ") + ")\n      mapfile -t COMPREPLY < <(" +
                bash_offer(flag) + ")\n      return\n      ;;\n";
    }
  }
  script += "  esac\n  case \"$command\" in\n";
  for (const CompletionCommand& command : commands) {
    std::vector<std::string> flags;
    for (const CompletionFlag& flag : command.flags) {
      flags.insert(flags.end(), flag.names.begin(), flag.names.end());
    }
    script += "    " + command.name + ")\n      if [[ $current == -* ]]; then\n" +
              "        mapfile -t COMPREPLY < <(compgen -W " + shell_quoted(join(flags, " ")) +
              " -- \"$current\")\n";
    if (!command.positionals.empty()) {
      script += "      else\n        mapfile -t COMPREPLY < <(" +
                bash_offer(command.positionals.front()) + ")\n";
    }
    script += "      fi\n      ;;\n";
  }
  return script + "  esac\n}\ncomplete -o filenames -F _itemcrop itemcrop\n";
}

std::string zsh_completion(const std::vector<CompletionCommand>& commands) {
  std::string script =
      "#compdef itemcrop\n"
      "# zsh completion for itemcrop; written by 'itemcrop completion zsh'\n"
      "_itemcrop() {\n"
      "  local -a commands=(\n";
  for (const CompletionCommand& command : commands) {
    script += "    " + shell_quoted(command.name + ":" + command.description) + "\n";
  }
  script +=
      "  )\n"
      "  if (( CURRENT == 2 )); then\n"
      "    _describe -t commands command commands\n"
      "    return\n"
      "  fi\n"
      "  local command=${words[2]}\n"
      "  shift words\n"
      "  (( CURRENT-- ))\n"
      "  case $command in\n";
  for (const CompletionCommand& command : commands) {
    script += "    " + command.name + ")\n      _arguments -s -S \\\n";
    for (const CompletionFlag& flag : command.flags) script += zsh_specs(flag);
    for (const CompletionFlag& positional : command.positionals) {
      const std::string count = positional.repeats ? "*" : "";
      script += "        " +
                shell_quoted(count + ":" + zsh_escaped(lower(positional.value)) + ":" +
                             zsh_action(positional)) +
                " \\\n";
    }
    script += "        && return\n      ;;\n";
  }
  return script +
         "  esac\n"
         "}\n"
         "if [[ $funcstack[1] == _itemcrop ]]; then\n"
         "  _itemcrop \"$@\"\n"
         "else\n"
         "  compdef _itemcrop itemcrop\n"
         "fi\n";
}

std::string fish_completion(const std::vector<CompletionCommand>& commands) {
  std::string script =
      "# fish completion for itemcrop; written by 'itemcrop completion fish'\n"
      "complete -c itemcrop -f\n";
  for (const CompletionCommand& command : commands) {
    script += "complete -c itemcrop -n __fish_use_subcommand -a " + command.name + " -d " +
              fish_quoted(command.description) + "\n";
  }
  for (const CompletionCommand& command : commands) {
    const std::string prefix =
        "complete -c itemcrop -n '__fish_seen_subcommand_from " + command.name + "'";
    for (const CompletionFlag& flag : command.flags) {
      script += prefix;
      for (const std::string& name : flag.names) {
        script += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
      }
      script += fish_offer(flag) + " -d " + fish_quoted(flag.description) + "\n";
    }
    for (const CompletionFlag& positional : command.positionals) {
      if (positional.kind == ValueKind::kFile) script += prefix + " -F\n";
      if (positional.kind == ValueKind::kFolder) {
        script += prefix + " -a '(__fish_complete_directories)'\n";
      }
      if (positional.kind == ValueKind::kChoice) {
        script += prefix + " -a " + fish_quoted(join(positional.choices, " ")) + "\n";
      }
    }
  }
  return script;
}

}  // namespace itemcrop::cli
