#include "cli/photo_source.h"

#include <gtest/gtest.h>

#include "support/expect_error.h"
#include "support/temporary_folder.h"

namespace itemcrop::cli {
namespace {

namespace fs = std::filesystem;
using test::expect_error;

class FindPhotos : public ::testing::Test {
 protected:
  std::string at(const std::string& name) const { return (folder_.path() / name).string(); }

  void touch(const std::string& name) const {
    fs::create_directories((folder_.path() / name).parent_path());
    folder_.write(name, "x");
  }

  std::vector<std::string> names(const std::vector<std::string>& inputs, bool recursive = false,
                                 const fs::path& skipped = {}) const {
    std::vector<std::string> result;
    for (const PhotoSource& photo : find_photos(inputs, recursive, skipped).photos) {
      const std::string prefix = folder_.path().string() + "/";
      const bool beneath = photo.name.starts_with(prefix);
      result.push_back(beneath ? photo.name.substr(prefix.size()) : photo.name);
    }
    return result;
  }

  test::TemporaryFolder folder_;
};

using Names = std::vector<std::string>;

TEST_F(FindPhotos, TakesFilesAsTheyAreAndOnce) {
  touch("a.jpg");
  EXPECT_EQ(names({at("a.jpg"), at("missing.bin"), at("./a.jpg")}),
            (Names{"a.jpg", "missing.bin"}));
}

TEST_F(FindPhotos, StandardInputIsADash) {
  const std::vector<PhotoSource> photos = find_photos({"-", "-"}, false).photos;
  ASSERT_EQ(photos.size(), 1U);
  EXPECT_TRUE(photos[0].standard_input);
  EXPECT_EQ(photos[0].name, "-");
}

TEST_F(FindPhotos, UrlsAreTakenAsTheyAreAndOnce) {
  const std::string url = "https://a.example/look.jpg?size=*&x=[1]";
  const std::vector<PhotoSource> photos = find_photos({url, url, "HTTP://b.example"}, false).photos;
  ASSERT_EQ(photos.size(), 2U);
  EXPECT_TRUE(photos[0].url);
  EXPECT_EQ(photos[0].name, url);
  EXPECT_TRUE(photos[1].url);
  EXPECT_FALSE(is_url("httpx://a"));
  EXPECT_FALSE(is_url("http:/a"));
  EXPECT_FALSE(is_url("ftp://a"));
}

TEST(PhotoStem, IsTheLastNameWithoutItsEnding) {
  EXPECT_EQ(photo_stem("-"), "stdin");
  EXPECT_EQ(photo_stem("a/look.one.jpg"), "look.one");
  EXPECT_EQ(photo_stem("https://a.example/b/look.jpg?x=/y.png#z"), "look");
  EXPECT_EQ(photo_stem("https://a.example/?x=/y.png"), "url");
  EXPECT_EQ(photo_stem("https://a.example"), "url");
  EXPECT_EQ(photo_stem("https://a.example?x=/y.png"), "url");
  EXPECT_EQ(photo_stem("https://a.example/" + std::string(300, 'x') + ".jpg").size(), 100U);
}

TEST_F(FindPhotos, AFolderGivesItsImagesInOrder) {
  for (const char* name : {"b.JPG", "a.webp", "notes.txt", ".hidden.jpg", "sub/c.jpg"}) touch(name);
  EXPECT_EQ(names({folder_.path().string()}), (Names{"a.webp", "b.JPG"}));
  EXPECT_EQ(names({folder_.path().string()}, true), (Names{"a.webp", "b.JPG", "sub/c.jpg"}));
}

TEST_F(FindPhotos, PhotosInSubfoldersThatAreSkippedAreCounted) {
  for (const char* name :
       {"a.jpg", "x/b.jpg", "x/y/c.png", "x/notes.txt", "z/.d.jpg", "out/e.jpg"}) {
    touch(name);
  }
  const std::string folder = folder_.path().string();
  const PhotoList list = find_photos({folder}, false, at("out"));
  EXPECT_EQ(list.photos.size(), 1U);
  EXPECT_EQ(list.skipped, 2U);
  EXPECT_EQ(list.skipped_subfolders, 1U);
  EXPECT_EQ(find_photos({folder}, true, at("out")).skipped, 0U);
  fs::remove(at("a.jpg"));
  expect_error(ErrorCode::kInvalidArgument, "2 in its subfolders are included with --recursive",
               [&] { find_photos({folder}, false, at("out")); });
}

TEST_F(FindPhotos, ANameThatAShellSplitIsRecognised) {
  touch("my new look.jpg");
  expect_error(ErrorCode::kInvalidArgument, "goes in quotes: \"" + at("my new look.jpg") + "\"",
               [&] {
                 names({at("my"), "new", "look.jpg"});
               });
  EXPECT_EQ(names({at("my"), at("other.jpg")}), (Names{"my", "other.jpg"}));
}

TEST_F(FindPhotos, TheOutputFolderIsNotSearched) {
  touch("a.jpg");
  touch("out/crops/b.jpg");
  EXPECT_EQ(names({folder_.path().string()}, true, at("out")), (Names{"a.jpg"}));
}

TEST_F(FindPhotos, LinksToFoldersDoNotLeadRoundInCircles) {
  touch("a.jpg");
  fs::create_directory_symlink(folder_.path(), at("loop"));
  EXPECT_EQ(names({folder_.path().string()}, true), (Names{"a.jpg"}));
}

TEST_F(FindPhotos, ExpandsPatternsUnlessAFileHasThatName) {
  for (const char* name : {"b1.jpg", "b2.jpg", "c.jpg", "[x].jpg"}) touch(name);
  EXPECT_EQ(names({at("b*.jpg")}), (Names{"b1.jpg", "b2.jpg"}));
  EXPECT_EQ(names({at("[x].jpg")}), (Names{"[x].jpg"}));
}

TEST_F(FindPhotos, SaysWhatIsEmpty) {
  expect_error(ErrorCode::kInvalidArgument, "no images in folder",
               [&] { names({folder_.path().string()}); });
  expect_error(ErrorCode::kInvalidArgument, "nothing matches", [&] { names({at("*.jpg")}); });
  expect_error(ErrorCode::kInvalidArgument, "no photos", [&] { names({}); });
}

}  // namespace
}  // namespace itemcrop::cli
