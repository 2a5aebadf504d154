#include "items/naming.h"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <random>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace itemcrop::items {
namespace {

bool is_safe_slug(const std::string& slug) {
  return !slug.empty() && slug.front() != '-' && slug.back() != '-' &&
         slug.find("--") == std::string::npos && std::all_of(slug.begin(), slug.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
         });
}

/// 10,000 names meant to escape a folder, to collide, or to break a file system.
std::vector<std::string> hostile_names() {
  std::vector<std::string> names = {"",
                                    ".",
                                    "..",
                                    "../../etc/passwd",
                                    "/etc/passwd",
                                    "C:\\Windows\\system32",
                                    "\\\\host\\share",
                                    "con",
                                    "CON",
                                    "Con.jpg",
                                    "nul",
                                    "PRN",
                                    "AUX",
                                    "com1",
                                    "COM9",
                                    "lpt1",
                                    "LPT0",
                                    "CLOCK$",
                                    std::string("blazer\0.exe", 11),
                                    "a/b",
                                    "a\\b",
                                    "a:b",
                                    "a*b?c",
                                    "<script>",
                                    "\"quoted\"",
                                    "|",
                                    "~",
                                    "~root",
                                    "-rf",
                                    "--help",
                                    "$(reboot)",
                                    "`id`",
                                    "%2e%2e%2f",
                                    "&amp;",
                                    "\n",
                                    "\r\n",
                                    "\t",
                                    "\x7f",
                                    "\x1b[31mred",
                                    "caf\xc3\xa9",
                                    "CAFE\xcc\x81",
                                    "\xe2\x80\xae"
                                    "gpj.exe",
                                    "\xe2\x80\x8b",
                                    "\xef\xbb\xbf"
                                    "bom",
                                    "\xf0\x9f\x91\x97",
                                    "\xd0\xbf\xd0\xbb\xd0\xb0\xd1\x89",
                                    "\xff\xfe",
                                    "\xc0\xaf",
                                    "\xed\xa0\x80",
                                    "trailing.",
                                    "trailing ",
                                    ".hidden",
                                    "a.b.c",
                                    "item",
                                    "item-2",
                                    "item-3",
                                    "I\xcc\x87",
                                    "\xef\xac\x81t",
                                    std::string(10 * 1024, 'a'),
                                    std::string(10 * 1024, '.'),
                                    std::string(1023, 'a') + "\xc3\xa9"};
  std::mt19937 random(20240607);
  const std::vector<std::string> parts = {"..",
                                          "/",
                                          "\\",
                                          std::string(1, '\0'),
                                          "con",
                                          "NUL",
                                          ".",
                                          " ",
                                          "-",
                                          "_",
                                          "2",
                                          "item",
                                          "Blazer",
                                          "blazer",
                                          "\xe2\x80\xae",
                                          "\xc3\x89",
                                          "\xff",
                                          "\n",
                                          ":",
                                          "jpg"};
  while (names.size() < 10'000) {
    std::string name;
    const std::size_t length = random() % 8;
    for (std::size_t i = 0; i < length; ++i) name += parts[random() % parts.size()];
    names.push_back(name);
  }
  return names;
}

TEST(Slug, IsLowerCaseWordsJoinedByDashes) {
  EXPECT_EQ(slug("Navy  Blazer"), "navy-blazer");
  EXPECT_EQ(slug("  t-shirt! "), "t-shirt");
  EXPECT_EQ(slug("IMG_2041"), "img-2041");
}

TEST(Slug, RemovesAccentsInEitherSpelling) {
  EXPECT_EQ(slug("Caf\xc3\xa9 cr\xc3\xa8me"), "cafe-creme");
  EXPECT_EQ(slug("Cafe\xcc\x81 cre\xcc\x80me"), "cafe-creme");
  EXPECT_EQ(slug("\xef\xac\x81tted"), "fitted") << "ligatures come apart";
}

TEST(Slug, FallsBackWhenNothingIsLeft) {
  for (const char* text : {"", "..", "///", "\xd0\xbf\xd0\xbb\xd0\xb0\xd1\x89", "\xff\xfe"}) {
    EXPECT_EQ(slug(text), "item") << text;
  }
}

TEST(Slug, CutsLongTextWithoutATrailingDash) {
  EXPECT_EQ(slug(std::string(10'000, 'x')).size(), 40U);
  EXPECT_EQ(slug("abc def", 4), "abc") << "a dash is only written with a letter behind it";
  EXPECT_EQ(slug("abc def", 5), "abc-d");
}

TEST(UniqueStems, NumbersRepeats) {
  UniqueStems stems;
  EXPECT_EQ(stems.unique("Photo"), "photo");
  EXPECT_EQ(stems.unique("photo"), "photo-2");
  EXPECT_EQ(stems.unique("PHOTO"), "photo-3");
  EXPECT_EQ(stems.unique("photo-3"), "photo-3-2") << "a number given out is taken";
}

TEST(UniqueStems, NeverHandsOutANameThatWindowsReserves) {
  UniqueStems stems;
  EXPECT_EQ(stems.unique("CON"), "con-2");
  EXPECT_EQ(stems.unique("con"), "con-3");
  EXPECT_EQ(stems.unique("lpt1"), "lpt1-2");
  EXPECT_EQ(stems.unique("com"), "com") << "only with a digit";
}

TEST(UniqueStems, TenThousandHostileNamesStayBeneathAndApart) {
  UniqueStems stems;
  std::set<std::string> seen;
  const std::filesystem::path folder = "/out/crops";
  for (const std::string& name : hostile_names()) {
    const std::string stem = stems.unique(name);
    ASSERT_TRUE(is_safe_slug(stem)) << stem;
    ASSERT_LE(stem.size(), 60U);
    ASSERT_TRUE(seen.insert(stem).second) << stem << " handed out twice";
    const std::string file = crop_name(stem, 1, name, "jpg");
    ASSERT_LE(file.size(), 120U);
    ASSERT_EQ((folder / file).lexically_normal().parent_path(), folder) << file;
  }
  EXPECT_EQ(seen.size(), 10'000U);
  EXPECT_FALSE(seen.contains("con"));
  EXPECT_FALSE(seen.contains("nul"));
}

TEST(CropName, IsUniqueWhileStemAndNumberAre) {
  EXPECT_EQ(crop_name("photo", 3, "Navy Blazer", "jpg"), "photo_03_navy-blazer.jpg");
  EXPECT_EQ(crop_name("photo", 123, "..", "webp"), "photo_123_item.webp");
}

TEST(LegacyCropName, MatchesTheOldBackend) {
  EXPECT_EQ(legacy_crop_name(1, "navy blazer"), "item1_navy_blazer_crop.jpg");
  EXPECT_EQ(legacy_crop_name(12, "T-shirt"), "item12_T-shirt_crop.jpg");
}

TEST(LegacyCropName, HostileNamesStayBeneath) {
  const std::filesystem::path folder = "/out";
  for (const std::string& name : hostile_names()) {
    const std::string file = legacy_crop_name(7, name);
    ASSERT_LE(file.size(), 120U);
    ASSERT_EQ(file.find_first_of(std::string("/\\:\0", 4)), std::string::npos) << file;
    ASSERT_EQ((folder / file).lexically_normal().parent_path(), folder) << file;
  }
}

}  // namespace
}  // namespace itemcrop::items
