#include "hub/cache.h"

#include <fstream>

#include <gtest/gtest.h>

#include "hub/file_hash.h"
#include "hub/hub_api.h"
#include "hub/pull.h"
#include "model_files/hub_names.h"
#include "support/expect_error.h"
#include "support/temporary_folder.h"

namespace itemcrop::hub {
namespace {

using test::expect_error;

TEST(CheckModelName, AllowsWhatTheHubAllows) {
  for (const char* name : {"IDEA-Research/grounding-dino-tiny", "bert-base-uncased", "a/b_c.d"}) {
    model_files::check_model_name(name);
  }
  for (const char* name : {"", "/", "a/", "/b", "a/b/c", "../x", "a/..", "a/.b", "a--b/c", "a b/c",
                           "a/b?c", "a/b%2f", "a\\b", "http://a/b", "-a/b", "a/b."}) {
    expect_error(ErrorCode::kInvalidArgument, "OWNER/NAME",
                 [&] { model_files::check_model_name(name); });
  }
}

TEST(CheckRevision, AllowsBranchesTagsCommits) {
  for (const char* revision : {"main", "v1.0", "refs/pr/1", "0123456789abcdef"}) {
    model_files::check_revision(revision);
  }
  for (const char* revision : {"", "..", "a/../b", "/a", "a/", "a b", "a%2f", "-a", ".a"}) {
    expect_error(ErrorCode::kInvalidArgument, "--revision",
                 [&] { model_files::check_revision(revision); });
  }
}

TEST(FileMatches, KnowsGitAndSha256) {
  const test::TemporaryFolder folder;
  // As `git hash-object` and `sha256sum` say.
  const auto path = folder.write("a", "hello\n");
  EXPECT_TRUE(file_matches(path, "ce013625030ba8dba906f756967f9e9ca394464a"));
  EXPECT_TRUE(
      file_matches(path, "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"));
  EXPECT_FALSE(
      file_matches(folder.write("b", "hello"), "ce013625030ba8dba906f756967f9e9ca394464a"));
  expect_error(ErrorCode::kIo, "cannot read", [&] { file_matches(folder.path() / "c", ""); });
  EXPECT_FALSE(is_content_hash("../../etc/passwd"));
  EXPECT_FALSE(is_content_hash(std::string(40, 'G')));
}

TEST(FilesToPull, TakesWhatTheEngineReads) {
  EXPECT_EQ(files_to_pull({"config.json", "vocab.txt", "README.md", "model.safetensors",
                           "pytorch_model.bin", "model.safetensors.index.json"}),
            (std::vector<std::string>{"vocab.txt", "model.safetensors", "config.json"}));
  const auto lacks = [](const std::string& part, const std::vector<std::string>& held) {
    expect_error(ErrorCode::kUnsupportedModel, part, [&] { files_to_pull(held); });
  };
  lacks("config.json", {"vocab.txt", "model.safetensors"});
  lacks("vocab.txt", {"config.json", "model.safetensors"});
  lacks("other formats", {"config.json", "vocab.txt", "pytorch_model.bin"});
}

TEST(ShardsOfIndex, NamesFilesBesideTheIndexOnly) {
  const test::TemporaryFolder folder;
  EXPECT_EQ(shards_of_index(
                folder.write("a", R"({"weight_map": {"x": "2.safetensors", "y": "1.safetensors",
                                        "z": "2.safetensors"}})")),
            (std::vector<std::string>{"1.safetensors", "2.safetensors"}));
  for (const char* text :
       {"", "[]", "{}", R"({"weight_map": 1})", R"({"weight_map": {"x": 1}})",
        R"({"weight_map": {"x": "../a.safetensors"}})", R"({"weight_map": {"x": "a.bin"}})"}) {
    expect_error(ErrorCode::kCorruptModel, "weight_map",
                 [&] { shards_of_index(folder.write("a", text)); });
  }
}

}  // namespace
}  // namespace itemcrop::hub
