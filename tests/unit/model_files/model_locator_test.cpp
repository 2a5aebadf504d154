#include "model_files/model_locator.h"

#include <map>

#include <gtest/gtest.h>

#include "support/expect_error.h"
#include "support/temporary_folder.h"

namespace itemcrop::model_files {
namespace {

namespace fs = std::filesystem;
using test::expect_error;

class LocateModel : public ::testing::Test {
 protected:
  fs::path make_model(const std::string& name) const {
    fs::create_directories(folder_.path() / name);
    folder_.write(name + "/config.json", "{}");
    return folder_.path() / name;
  }

  ModelSearch search() const {
    return {{{folder_.path() / "first", "first"}, {folder_.path() / "second", "second"}},
            folder_.path() / "hub"};
  }

  test::TemporaryFolder folder_;
};

TEST_F(LocateModel, ByNameInTheFirstPlaceThatHasIt) {
  make_model("second/wardrobe");
  EXPECT_EQ(locate_model("wardrobe", search()).origin, "second");
  make_model("first/wardrobe");
  const LocatedModel model = locate_model("wardrobe", search());
  EXPECT_EQ(model.origin, "first");
  EXPECT_EQ(model.name, "wardrobe");
  EXPECT_EQ(list_models(search()).size(), 1U) << "listed once";
}

TEST_F(LocateModel, ByFolder) {
  const fs::path folder = make_model("anywhere/tiny");
  EXPECT_EQ(locate_model(folder.string(), search()).name, "tiny");
  EXPECT_EQ(locate_model(folder.string() + "/", search()).name, "tiny");
}

TEST_F(LocateModel, ByAKnownModelsShortName) {
  const fs::path folder = make_model("hub/models--iSEE-Laboratory--llmdet_tiny/snapshots/aaaa");
  for (const char* name : {"llmdet-tiny", "llmdet_tiny", "isee-laboratory/llmdet-tiny"}) {
    EXPECT_EQ(locate_model(name, search()).folder, folder) << name;
    EXPECT_EQ(locate_model(name, search()).name, "iSEE-Laboratory/llmdet_tiny");
  }
  expect_error(ErrorCode::kNotFound, "'itemcrop models pull llmdet-base' brings it",
               [&] { locate_model("llmdet-base", search()); });
}

TEST_F(LocateModel, InTheHuggingFaceCache) {
  const std::string repository = "hub/models--IDEA-Research--grounding-dino-tiny";
  const fs::path old = make_model(repository + "/snapshots/aaaa");
  const fs::path current = make_model(repository + "/snapshots/bbbb");
  fs::create_directories(folder_.path() / repository / "refs");
  folder_.write(repository + "/refs/main", "bbbb\n");
  const std::string name = "IDEA-Research/grounding-dino-tiny";
  EXPECT_EQ(locate_model(name, search()).folder, current);
  EXPECT_EQ(locate_model(name, search()).name, name);
  EXPECT_EQ(locate_model(name + "@aaaa", search()).folder, old);
  EXPECT_EQ(locate_model("grounding-dino-tiny", search()).folder, current);
  expect_error(ErrorCode::kNotFound, "no model", [&] { locate_model(name + "@cccc", search()); });
  expect_error(ErrorCode::kNotFound, "no model",
               [&] { locate_model(name + "@../../..", search()); });
}

TEST_F(LocateModel, ARevisionMayHaveFolders) {
  const std::string repository = "hub/models--a--b";
  const fs::path change = make_model(repository + "/snapshots/aaaa");
  make_model(repository + "/snapshots/bbbb");
  fs::create_directories(folder_.path() / repository / "refs/refs/pr");
  folder_.write(repository + "/refs/refs/pr/1", "aaaa");
  EXPECT_EQ(locate_model("a/b@refs/pr/1", search()).folder, change);
}

TEST_F(LocateModel, ALoneSnapshotNeedsNoReference) {
  const fs::path folder = make_model("hub/models--a--b/snapshots/cccc");
  EXPECT_EQ(locate_model("a/b", search()).folder, folder);
}

TEST_F(LocateModel, NamesDoNotClimbOutOfTheirPlace) {
  make_model("secret");
  fs::create_directories(folder_.path() / "first");
  expect_error(ErrorCode::kNotFound, "no model", [&] { locate_model("../secret", search()); });
  expect_error(ErrorCode::kNotFound, "holds no config.json", [&] {
    locate_model("..", {search().places, ""});
  });
}

TEST_F(LocateModel, SuggestsWhatIsThere) {
  make_model("first/wardrobe");
  expect_error(ErrorCode::kNotFound, "did you mean 'wardrobe'",
               [&] { locate_model("wardobe", search()); });
  expect_error(ErrorCode::kNotFound, "one of: wardrobe",
               [&] { locate_model("something-else", search()); });
  expect_error(ErrorCode::kNotFound, "'itemcrop models pull a/b' brings it",
               [&] { locate_model("a/b", search()); });
  fs::create_directories(folder_.path() / "empty");
  expect_error(ErrorCode::kNotFound, "holds no config.json",
               [&] { locate_model((folder_.path() / "empty").string(), search()); });
}

TEST(DefaultModelSearch, ReadsTheEnvironment) {
  std::map<std::string, std::string> variables = {
      {"ITEMCROP_MODELS", "/one::/two"}, {"HF_HOME", "/hf"}, {"HOME", "/home/somebody"}};
  const auto variable = [&](const std::string& name) -> std::optional<std::string> {
    const auto found = variables.find(name);
    if (found == variables.end()) return std::nullopt;
    return found->second;
  };
  const ModelSearch search = default_model_search("/opt/itemcrop/bin/itemcrop", variable);
  ASSERT_GE(search.places.size(), 4U);
  EXPECT_EQ(search.places[0].folder, "/one");
  EXPECT_EQ(search.places[1].folder, "/two");
  EXPECT_EQ(search.places[2].folder, "/opt/itemcrop/bin/models");
  EXPECT_EQ(search.places[3].folder, "/opt/itemcrop/share/itemcrop/models");
  EXPECT_EQ(search.hugging_face_hub, "/hf/hub");
  variables["HF_HUB_CACHE"] = "/cache";
  EXPECT_EQ(default_model_search("", variable).hugging_face_hub, "/cache");
  EXPECT_EQ(hugging_face_home(variable), "/hf");
  variables = {{"HOME", "/home/somebody"}, {"XDG_CACHE_HOME", "/caches"}, {"HF_HOME", ""}};
  EXPECT_EQ(default_model_search("", variable).hugging_face_hub, "/caches/huggingface/hub");
  variables.clear();
  EXPECT_EQ(default_model_search("", variable).hugging_face_hub, "");
  variables = {{"HOME", "/home/somebody"}};
  EXPECT_EQ(default_model_search("", variable).hugging_face_hub,
            "/home/somebody/.cache/huggingface/hub");
}

TEST(DefaultModelSearch, FindsAnInstallationFromItsLibrary) {
  const test::TemporaryFolder prefix;
  fs::create_directories(prefix.path() / "share/itemcrop/models/closet-of-a-test");
  prefix.write("share/itemcrop/models/closet-of-a-test/config.json", "{}");
  for (const char* binary :
       {"lib/libitemcrop.so", "lib/x86_64-linux-gnu/libitemcrop.so", "bin/a"}) {
    const ModelSearch search = default_model_search(
        prefix.path() / binary, [](const std::string&) { return std::optional<std::string>(); });
    EXPECT_EQ(locate_model("closet-of-a-test", search).origin, "the installation") << binary;
  }
  EXPECT_TRUE(fs::exists(this_binary()));
}

TEST(DefaultModelSearch, FindsTheEmbeddedModelOfABuild) {
  const ModelSearch search =
      default_model_search("", [](const std::string&) { return std::optional<std::string>(); });
  EXPECT_TRUE(fs::exists(locate_model(kDefaultModel, search).folder / "model.safetensors"));
}

}  // namespace
}  // namespace itemcrop::model_files
