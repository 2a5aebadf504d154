#include "cli/completion.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "cli/command_line.h"

namespace itemcrop::cli {
namespace {

const CompletionFlag& flag_of(const std::vector<CompletionCommand>& commands,
                              const std::string& command, const std::string& name) {
  for (const CompletionCommand& c : commands) {
    if (c.name != command) continue;
    for (const CompletionFlag& flag : c.flags) {
      if (std::find(flag.names.begin(), flag.names.end(), name) != flag.names.end()) return flag;
    }
  }
  throw std::out_of_range(command + " " + name);
}

TEST(DescribeCommands, KnowsWhatEveryFlagTakes) {
  const CommandLine command_line;
  const auto commands = describe_commands(command_line.app());
  ASSERT_EQ(commands.size(), 8U);
  EXPECT_EQ(flag_of(commands, "crop", "--out").kind, ValueKind::kFolder);
  EXPECT_EQ(flag_of(commands, "crop", "--out").names, (std::vector<std::string>{"-o", "--out"}));
  EXPECT_EQ(flag_of(commands, "detect", "--json").kind, ValueKind::kFile);
  EXPECT_EQ(flag_of(commands, "info", "--json").kind, ValueKind::kNone);
  EXPECT_EQ(flag_of(commands, "crop", "--square").kind, ValueKind::kNone);
  EXPECT_EQ(flag_of(commands, "crop", "--threshold").kind, ValueKind::kText);
  EXPECT_TRUE(flag_of(commands, "crop", "--item").repeats);
  EXPECT_FALSE(flag_of(commands, "crop", "--out").repeats);
  EXPECT_EQ(flag_of(commands, "crop", "--device").choices,
            (std::vector<std::string>{"auto", "cpu", "cuda"}));
  EXPECT_EQ(flag_of(commands, "detect", "--url-timeout").kind, ValueKind::kText);
  EXPECT_EQ(flag_of(commands, "crop", "--private-urls").kind, ValueKind::kNone);
  EXPECT_EQ(flag_of(commands, "models", "--revision").kind, ValueKind::kText);
  EXPECT_EQ(flag_of(commands, "serve", "--config").kind, ValueKind::kFile);
  EXPECT_EQ(commands[6].positionals.at(0).choices, (std::vector<std::string>{"pull", "list"}));
  EXPECT_EQ(commands[0].positionals.at(0).kind, ValueKind::kFile);
}

std::vector<CompletionCommand> small() {
  CompletionFlag flag{
      {"-m", "--mode"}, "It's a [mode]: fast", ValueKind::kChoice, "a|b", {"a", "b"}, false};
  CompletionFlag photo{{}, "Files", ValueKind::kFile, "PHOTO", {}, true};
  return {{"go", "Go on", {flag}, {photo}}};
}

TEST(BashCompletion, OffersChoicesFlagsAndFiles) {
  const std::string script = bash_completion(small());
  EXPECT_NE(script.find("'go -m' | 'go --mode')"), std::string::npos) << script;
  EXPECT_NE(script.find("compgen -W 'a b' -- \"$current\""), std::string::npos);
  EXPECT_NE(script.find("compgen -W '-m --mode'"), std::string::npos);
  EXPECT_NE(script.find("compgen -f"), std::string::npos);
}

TEST(ZshCompletion, EscapesWhatArgumentsGivesAMeaning) {
  const std::string script = zsh_completion(small());
  EXPECT_NE(script.find(R"('(-m --mode)--mode[It'\''s a \[mode\]\: fast]:a|b:(a b)')"),
            std::string::npos)
      << script;
  EXPECT_NE(script.find("'*:photo:_files'"), std::string::npos);
}

TEST(FishCompletion, DescribesFlags) {
  const std::string script = fish_completion(small());
  EXPECT_NE(script.find(R"(-s m -l mode -x -a 'a b' -d 'It\'s a [mode]: fast')"), std::string::npos)
      << script;
  EXPECT_NE(script.find("'__fish_seen_subcommand_from go' -F\n"), std::string::npos);
}

}  // namespace
}  // namespace itemcrop::cli
