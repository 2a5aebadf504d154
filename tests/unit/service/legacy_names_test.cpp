#include <filesystem>
#include <string>

#include <gtest/gtest.h>

#include "service/legacy/crop_name.h"
#include "support/hostile_names.h"

namespace itemcrop::service::legacy {
namespace {

std::string name_of(int number, const std::string& prompt) {
  crop::FoundItem item;
  item.prompt = prompt;
  return crop_name("look", number, item, image::Format::kJpeg);
}

TEST(LegacyCropName, MatchesTheOldBackend) {
  EXPECT_EQ(name_of(1, "navy blazer"), "item1_navy_blazer_crop.jpg");
  EXPECT_EQ(name_of(12, "T-shirt"), "item12_T-shirt_crop.jpg");
}

TEST(LegacyCropName, HostileNamesStayBeneath) {
  const std::filesystem::path folder = "/out";
  for (const std::string& name : test::hostile_names()) {
    const std::string file = name_of(7, name);
    ASSERT_LE(file.size(), 120U);
    ASSERT_EQ(file.find_first_of(std::string("/\\:\0", 4)), std::string::npos) << file;
    ASSERT_EQ((folder / file).lexically_normal().parent_path(), folder) << file;
  }
}

}  // namespace
}  // namespace itemcrop::service::legacy
