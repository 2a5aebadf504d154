#include "items/naming.h"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <random>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "support/hostile_names.h"

namespace itemcrop::items {
namespace {

using test::hostile_names;

bool is_safe_slug(const std::string& slug) {
  return !slug.empty() && slug.front() != '-' && slug.back() != '-' &&
         slug.find("--") == std::string::npos && std::all_of(slug.begin(), slug.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
         });
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

}  // namespace
}  // namespace itemcrop::items
