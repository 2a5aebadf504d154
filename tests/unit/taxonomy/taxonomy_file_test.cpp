#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "support/expect_error.h"
#include "support/temporary_folder.h"
#include "taxonomy/taxonomy.h"

namespace itemcrop::taxonomy {
namespace {

using test::expect_error;

const std::string kHead = "format = 1\nname = \"small\"\n";

Taxonomy parsed(const std::string& body) { return parse_taxonomy(kHead + body, "small.toml"); }

TEST(TaxonomyFile, ReadsEveryKey) {
  const Taxonomy taxonomy = parse_taxonomy(
      "format = 1\nname = 'full'\nmodels = ['wardrobe']\ncrop_threshold = 0.2\n"
      "analysis_threshold = 1\ncompeting = ['person']\n"
      "[[category]]\nname = 'tops'\nnoun = 'top'\naliases = ['upper  body']\nanalyze = false\n"
      "kinds = ['blouse', { name = 'jacket', prompts = ['jacket', 'coat'], synonyms = ['parka'],"
      "  threshold = 0.4, layer = 'outer' }]\n"
      "[[category]]\nname = 'dress'\ncovers = ['tops']\nkinds = ['dress']\n"
      "[[category]]\nname = 'accessory'\nkinds = [{ name = 'ring', metallic = true }]\n"
      "[[group]]\nname = 'outerwear'\naliases = ['coats']\nkinds = ['jacket']\n",
      "full.toml");
  EXPECT_EQ(taxonomy.name, "full");
  EXPECT_EQ(taxonomy.models, std::vector<std::string>{"wardrobe"});
  EXPECT_FLOAT_EQ(taxonomy.crop_threshold, 0.2F);
  EXPECT_FLOAT_EQ(taxonomy.analysis_threshold, 1.0F);
  EXPECT_EQ(taxonomy.competing, std::vector<std::string>{"person"});
  ASSERT_EQ(taxonomy.categories.size(), 3U);
  EXPECT_EQ(taxonomy.categories[0].noun, "top");
  EXPECT_EQ(taxonomy.categories[0].aliases, std::vector<std::string>{"upper body"});
  EXPECT_FALSE(taxonomy.categories[0].analyze);
  EXPECT_EQ(taxonomy.categories[0].kinds, (std::vector<std::size_t>{0, 1}));
  EXPECT_EQ(taxonomy.categories[1].noun, "dress");
  EXPECT_EQ(taxonomy.categories[1].covers, std::vector<std::size_t>{0});
  ASSERT_EQ(taxonomy.kinds.size(), 4U);
  EXPECT_EQ(taxonomy.kinds[0].prompts, std::vector<std::string>{"blouse"});
  EXPECT_EQ(taxonomy.kinds[1].prompts, (std::vector<std::string>{"jacket", "coat"}));
  EXPECT_EQ(taxonomy.kinds[1].layer, "outer");
  EXPECT_FLOAT_EQ(taxonomy.kinds[1].threshold.value(), 0.4F);
  EXPECT_TRUE(taxonomy.kinds[3].metallic);
  EXPECT_EQ(taxonomy.kinds[3].category, 2U);
  ASSERT_EQ(taxonomy.groups.size(), 1U);
  EXPECT_EQ(taxonomy.groups[0].kinds, std::vector<std::size_t>{1});
}

TEST(TaxonomyFile, SaysFileLineAndKeyOfEveryMistake) {
  const std::string tops = "[[category]]\nname = 'tops'\n";
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"x = = 1", "small.toml:3: not TOML"},
      {"colour = 1\n", "small.toml:3: unknown key 'colour'"},
      {"crop_threshold = 1.5\n", "small.toml:3: crop_threshold must be between 0 and 1"},
      {"crop_threshold = nan\n", "small.toml:3: crop_threshold must be between 0 and 1"},
      {"crop_threshold = '1'\n", "small.toml:3: crop_threshold must be a number"},
      {"models = []\n", "small.toml:3: models must not be empty"},
      {"models = ['a', 'A']\n", "small.toml:3: models[1] repeats 'A'"},
      {"", "missing key 'category'"},
      {"category = []\n", "small.toml:3: category must not be empty"},
      {"category = [1]\n", "small.toml:3: category[0] must be a table"},
      {tops, "small.toml:3: missing key 'category[0].kinds'"},
      {tops + "kinds = []\n", "small.toml:5: category[0].kinds must not be empty"},
      {tops + "kinds = ['  ']\n", "small.toml:5: category[0].kinds[0] must not be empty"},
      {tops + "kinds = [3]\n", "small.toml:5: category[0].kinds[0] must be a string"},
      {tops + "kinds = [\n 'a',\n {name = 'b', prompts = ['']}]\n",
       "small.toml:7: category[0].kinds[1].prompts[0] must not be empty"},
      {tops + "kinds = [{name = 'a', prompts = []}]\n",
       "small.toml:5: category[0].kinds[0].prompts must not be empty"},
      {tops + "kinds = [{prompts = ['a']}]\n",
       "small.toml:5: missing key 'category[0].kinds[0].name'"},
      {tops + "kinds = [{name = 'a', prompt = 'b'}]\n",
       "small.toml:5: unknown key 'category[0].kinds[0].prompt'"},
      {tops + "kinds = [{name = 'a', prompts = ['b. c']}]\n", "must not hold '.' or '?'"},
      {tops + "kinds = ['a. b']\n", "cannot be a prompt"},
      {tops + "kinds = [{name = 'a', metallic = 1}]\n",
       "category[0].kinds[0].metallic must be true or false"},
      {tops + "kinds = ['a', 'A']\n",
       "small.toml:5: category[0].kinds[1]: 'A' already means kind 'a'"},
      {tops + "kinds = ['a']\n" + tops + "kinds = ['b']\n",
       "small.toml:7: category[1].name: 'tops' already means category 'tops'"},
      {tops + "kinds = ['a']\n[[category]]\nname = 'b'\nkinds = ['tops']\n",
       "category[1].kinds[0]: 'tops' already means category 'tops'"},
      {tops + "kinds = ['a']\ncovers = ['hats']\n",
       "small.toml:6: category[0].covers[0]: 'hats' is no other category"},
      {tops + "kinds = ['a']\ncovers = ['tops']\n", "is no other category"},
      {tops + "kinds = ['a']\n[[group]]\nname = 'g'\nkinds = ['b']\n",
       "small.toml:8: group[0].kinds[0]: there is no kind 'b'"},
      {tops + "kinds = ['a', 'b']\n[[group]]\nname = 'b'\nkinds = ['a']\n",
       "group[0].name: 'b' already means kind 'b'"},
      {"name2 = \"\\u001b\"\n", "unknown key 'name2'"},
      {tops + "kinds = [\"a\\tb\"]\n", "must not hold control characters"},
  };
  for (const auto& [body, part] : cases) {
    SCOPED_TRACE(body);
    expect_error(ErrorCode::kInvalidArgument, part, [&body = body] { parsed(body); });
  }
  expect_error(ErrorCode::kInvalidArgument, "f:1: missing key 'format'",
               [] { parse_taxonomy("name = 'x'", "f"); });
  expect_error(ErrorCode::kInvalidArgument, "f:1: format must be 1",
               [] { parse_taxonomy("format = 2", "f"); });
  expect_error(ErrorCode::kInvalidArgument, "f:1: not TOML",
               [] { parse_taxonomy("name = \"\xff\"", "f"); });
}

TEST(TaxonomyFile, IsBounded) {
  TaxonomyLimits limits;
  limits.bytes = 100;
  expect_error(ErrorCode::kLimitExceeded, "f:1: a taxonomy file must be at most 100 bytes",
               [&] { parse_taxonomy(std::string(101, '#'), "f", limits); });
  limits = {};
  limits.kinds = 2;
  const std::string three = kHead + "[[category]]\nname='t'\nkinds=['a','b','c']\n";
  expect_error(ErrorCode::kLimitExceeded, "kinds must have at most 2 entries, got 3",
               [&] { parse_taxonomy(three, "f", limits); });
  limits.kinds = 3;
  limits.prompts = 2;
  expect_error(ErrorCode::kLimitExceeded, "at most 2 prompts",
               [&] { parse_taxonomy(three, "f", limits); });
  limits.prompts = 3;
  EXPECT_EQ(parse_taxonomy(three, "f", limits).kinds.size(), 3U);
  limits.word_length = 3;
  expect_error(ErrorCode::kLimitExceeded, "name must be at most 3 bytes",
               [&] { parse_taxonomy(three, "f", limits); });
  // Nesting is the library's limit; it must be an error, not a crash.
  EXPECT_THROW(parse_taxonomy("a = " + std::string(100'000, '['), "f"), Error);
}

TEST(Taxonomy, KnowsWhatWordsMean) {
  const Catalog catalog;
  for (const Taxonomy& taxonomy : catalog.all()) {
    SCOPED_TRACE(taxonomy.name);
    // Every word of the old contract.
    const std::vector<std::pair<std::string, std::string>> old = {{"tops", "tops"},
                                                                  {"bottoms", "bottoms"},
                                                                  {"bag", "bag"},
                                                                  {"bags", "bag"},
                                                                  {"shoes", "shoes"},
                                                                  {"accessory", "accessory"},
                                                                  {"accessories", "accessory"},
                                                                  {"dress", "dress"}};
    for (const auto& [word, category] : old) {
      const Meaning meaning = taxonomy.meaning(word);
      ASSERT_TRUE(std::holds_alternative<CategoryRef>(meaning)) << word;
      EXPECT_EQ(taxonomy.categories[std::get<CategoryRef>(meaning).index].name, category);
    }
    // What the old contract said they mean.
    const std::vector<std::pair<std::string, std::string>> parts = {
        {"shirt", "tops"},         {"blouse", "tops"},
        {"sweater", "tops"},       {"tee", "tops"},
        {"hoodie", "tops"},        {"jacket", "tops"},
        {"cardigan", "tops"},      {"vest", "tops"},
        {"coat", "tops"},          {"pants", "bottoms"},
        {"jeans", "bottoms"},      {"skirt", "bottoms"},
        {"shorts", "bottoms"},     {"trousers", "bottoms"},
        {"leggings", "bottoms"},   {"gown", "dress"},
        {"shoe", "shoes"},         {"purse", "bag"},
        {"backpack", "bag"},       {"tote", "bag"},
        {"clutch", "bag"},         {"handbag", "bag"},
        {"necklace", "accessory"}, {"bracelet", "accessory"},
        {"hat", "accessory"},      {"scarf", "accessory"},
        {"belt", "accessory"},     {"sunglasses", "accessory"},
        {"ring", "accessory"},     {"jewelry", "accessory"}};
    for (const auto& [word, category] : parts) {
      if (word == "jewelry" && taxonomy.name == "fashion") continue;  // a group of several kinds
      const auto index = taxonomy.category_of(word);
      ASSERT_TRUE(index) << word;
      EXPECT_EQ(taxonomy.categories[*index].name, category) << word;
    }
    EXPECT_TRUE(std::holds_alternative<GroupRef>(taxonomy.meaning("Outerwear")));
    EXPECT_TRUE(std::holds_alternative<std::monostate>(taxonomy.meaning("lawn mower")));
    EXPECT_TRUE(std::holds_alternative<std::monostate>(taxonomy.meaning("  ")));
    EXPECT_TRUE(std::holds_alternative<KindRef>(taxonomy.meaning("  T-SHIRT ")));
    EXPECT_EQ(taxonomy.kinds[*taxonomy.kind_within("a navy  Polo shirt")].name, "polo shirt");
    EXPECT_FALSE(taxonomy.kind_within("shirt collar"));
  }
}

TEST(Catalog, ChoosesByModelAndName) {
  const Catalog catalog;
  EXPECT_EQ(catalog.for_model("wardrobe").name, "wardrobe");
  EXPECT_EQ(catalog.for_model("IDEA-Research/grounding-dino-tiny").name, "fashion");
  EXPECT_EQ(catalog.for_model("someone/wardrobe@main").name, "wardrobe");
  EXPECT_EQ(catalog.named("fashion").name, "fashion");
  expect_error(ErrorCode::kNotFound, "no taxonomy 'x'; there are: fashion, wardrobe",
               [&] { catalog.named("x"); });
}

TEST(Catalog, LoadsFilesBeforeBuiltInOnes) {
  const test::TemporaryFolder folder;
  const auto write = [&](const std::string& file, const std::string& name) {
    std::ofstream(folder.path() / file)
        << "format = 1\nname = '" << name << "'\n[[category]]\nname='tools'\nkinds=['saw']\n";
    return folder.path() / file;
  };
  const std::vector<std::filesystem::path> files = {write("a.toml", "fashion"),
                                                    write("b.toml", "tools")};
  const Catalog catalog(files);
  ASSERT_EQ(catalog.all().size(), 3U);
  EXPECT_EQ(catalog.for_model("grounding-dino-base").categories[0].name, "tools");
  EXPECT_EQ(catalog.for_model("wardrobe").name, "wardrobe");

  const std::vector<std::filesystem::path> twice = {files[1], write("c.toml", "tools")};
  expect_error(ErrorCode::kInvalidArgument, "'tools' is loaded already", [&] { Catalog c(twice); });
  const std::vector<std::filesystem::path> missing = {folder.path() / "no.toml"};
  expect_error(ErrorCode::kNotFound, "no.toml", [&] { Catalog c(missing); });
  const std::vector<std::filesystem::path> directory = {folder.path()};
  expect_error(ErrorCode::kInvalidArgument, "is a folder", [&] { Catalog c(directory); });
}

}  // namespace
}  // namespace itemcrop::taxonomy
