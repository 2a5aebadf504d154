#include "cli/output_folder.h"

#include <array>

#include <gtest/gtest.h>

#include "support/expect_error.h"
#include "support/temporary_folder.h"

namespace itemcrop::cli {
namespace {

namespace fs = std::filesystem;
using test::expect_error;

constexpr std::array<std::string_view, 2> kPages = {"results.json", "index.html"};

RunRecord record_with(double threshold) {
  RunRecord record;
  record.version = "0.2.0";
  record.date = "2026-11-30T12:00:00Z";
  record.run = {{"model", "wardrobe"},
                {"items", {{{"prompt", "hat"}}}},
                {"categories", nlohmann::ordered_json::array()},
                {"settings", {{"threshold", threshold}, {"format", "jpeg"}}}};
  record.photos = 3;
  return record;
}

class Output : public ::testing::Test {
 protected:
  fs::path at(const std::string& name) const { return folder_.path() / name; }
  bool has(const std::string& name) const { return fs::exists(at(name)); }

  OutputFolder open(const RunRecord& record) const {
    OutputFolder out(at("out"), kPages);
    out.open(record);
    return out;
  }

  test::TemporaryFolder folder_;
};

TEST_F(Output, IsNotTouchedBeforeItIsOpened) {
  const OutputFolder out(at("out"), kPages);
  EXPECT_FALSE(out.earlier());
  EXPECT_FALSE(has("out"));
}

TEST_F(Output, RemembersItsRun) {
  {
    OutputFolder out = open(record_with(0.3));
    out.write("crops/a.jpg", "x");
    EXPECT_FALSE(OutputFolder(at("out"), kPages).earlier()->complete);
    out.complete();
  }
  const OutputFolder again(at("out"), kPages);
  ASSERT_TRUE(again.earlier());
  EXPECT_TRUE(again.earlier()->complete);
  EXPECT_EQ(again.earlier()->photos, 3U);
  EXPECT_EQ(again.earlier()->date, "2026-11-30T12:00:00Z");
  EXPECT_TRUE(differences(*again.earlier(), record_with(0.3)).empty());
  EXPECT_EQ(differences(*again.earlier(), record_with(0.4)), std::vector<std::string>{"threshold"});
}

TEST_F(Output, MovesEarlierResultsAwayAndKeepsOneRun) {
  open(record_with(0.1)).write("crops/first.jpg", "1");
  open(record_with(0.2)).write("crops/second.jpg", "2");
  EXPECT_TRUE(has("out/previous/crops/first.jpg"));
  EXPECT_FALSE(has("out/crops/first.jpg"));
  open(record_with(0.3)).write("crops/third.jpg", "3");
  EXPECT_TRUE(has("out/previous/crops/second.jpg"));
  EXPECT_FALSE(has("out/previous/crops/first.jpg"));
  EXPECT_TRUE(has("out/crops/third.jpg"));
}

TEST_F(Output, DeletesNothingOfAnybodyElses) {
  open(record_with(0.1)).write("crops/first.jpg", "1");
  open(record_with(0.2)).write("crops/second.jpg", "2");
  folder_.write("out/previous/notes.txt", "mine");
  open(record_with(0.3)).write("crops/third.jpg", "3");
  EXPECT_TRUE(has("out/previous/notes.txt"));
  EXPECT_TRUE(has("out/previous-2/crops/second.jpg"));
}

TEST_F(Output, AListThatLeadsElsewhereDeletesNothing) {
  open(record_with(0.1)).write("crops/first.jpg", "1");
  open(record_with(0.2)).write("crops/second.jpg", "2");
  folder_.write("precious.txt", "mine");
  folder_.write("out/previous/.itemcrop/files.txt",
                "../../precious.txt\n" + at("precious.txt").string() + "\n");
  open(record_with(0.3));
  EXPECT_TRUE(has("precious.txt"));
}

TEST_F(Output, KnowsResultsOfAnEarlierRelease) {
  fs::create_directories(at("out/crops"));
  folder_.write("out/results.json", R"({"model": "wardrobe", "images": [{}, {}]})");
  folder_.write("out/crops/old.jpg", "1");
  const OutputFolder out(at("out"), kPages);
  ASSERT_TRUE(out.earlier());
  EXPECT_EQ(out.earlier()->photos, 2U);
  EXPECT_EQ(differences(*out.earlier(), record_with(0.1)),
            (std::vector<std::string>{"items", "categories", "threshold", "format"}));
  open(record_with(0.1));
  EXPECT_TRUE(has("out/previous/crops/old.jpg"));
}

TEST_F(Output, RefusesPagesThatItDidNotWrite) {
  fs::create_directories(at("out"));
  folder_.write("out/index.html", "my site");
  expect_error(ErrorCode::kIo, "index.html' was not written by itemcrop",
               [&] { OutputFolder(at("out"), kPages); });
  EXPECT_NO_THROW(OutputFolder(at("out"), std::span(kPages).first(1)));
  folder_.write("out/results.json", "[1]");
  expect_error(ErrorCode::kIo, "results.json", [&] { OutputFolder(at("out"), kPages); });
}

TEST_F(Output, SaysAtOnceWhatCannotBeMade) {
  folder_.write("file", "x");
  expect_error(ErrorCode::kIo, "file/out", [&] { OutputFolder(at("file/out"), kPages); });
  expect_error(ErrorCode::kIo, "file", [&] { OutputFolder(at("file"), kPages); });
}

TEST_F(Output, KnowsWhichFilesItWouldMove) {
  open(record_with(0.1)).write("crops/a.jpg", "1");
  const OutputFolder out(at("out"), kPages);
  EXPECT_TRUE(out.moves(at("out/crops/a.jpg")));
  EXPECT_TRUE(out.moves(at("out/../out/annotated/b.jpg")));
  EXPECT_FALSE(out.moves(at("out/mine.jpg")));
  EXPECT_FALSE(out.moves(at("a.jpg")));
}

}  // namespace
}  // namespace itemcrop::cli
