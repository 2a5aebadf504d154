#include "service/requests/settings.h"

#include <fstream>
#include <map>
#include <set>

#include <gtest/gtest.h>

#include "itemcrop/error.h"

#include "support/temporary_folder.h"

namespace itemcrop::service {
namespace {

using Variables = std::map<std::string, std::string>;

SettingsSources sources_of(const Variables& variables) {
  SettingsSources sources;
  sources.variable = [variables](const std::string& name) -> std::optional<std::string> {
    const auto found = variables.find(name);
    if (found == variables.end()) return std::nullopt;
    return found->second;
  };
  return sources;
}

const Setting& named(std::string_view name) {
  for (const Setting& setting : settings_table()) {
    if (setting.name == name) return setting;
  }
  throw std::out_of_range(std::string(name));
}

std::string problem_of(const SettingsSources& sources) {
  try {
    load_settings(sources);
  } catch (const Error& error) {
    return error.what();
  }
  return "none";
}

class SettingsFile : public ::testing::Test {
 protected:
  std::filesystem::path write(const std::string& text) {
    const std::filesystem::path path = folder_.path() / "conf.toml";
    std::ofstream(path) << text;
    return path;
  }
  std::string problem_of_file(const std::string& text) {
    SettingsSources sources;
    sources.file = write(text);
    return problem_of(sources);
  }

  test::TemporaryFolder folder_;
};

TEST(Table, NamesEverySettingOnce) {
  std::set<std::string_view> names;
  for (const Setting& setting : settings_table()) {
    EXPECT_TRUE(names.insert(setting.name).second) << setting.name;
    EXPECT_FALSE(setting.help.empty()) << setting.name;
  }
  EXPECT_EQ(named("max_body_bytes").flag(), "--max-body-bytes");
  EXPECT_EQ(named("max_body_bytes").variable(), "ITEMCROP_MAX_BODY_BYTES");
}

TEST(Table, HasDefaultsWithinItsOwnLimits) {
  EXPECT_EQ(problem_of({}), "none");
  // What is printed can be read again, and means the same.
  const test::TemporaryFolder folder;
  const std::filesystem::path path = folder.path() / "printed.toml";
  std::ofstream(path) << print_settings(Settings{});
  SettingsSources sources;
  sources.file = path;
  EXPECT_EQ(print_settings(load_settings(sources)), print_settings(Settings{}));
}

TEST_F(SettingsFile, IsOverruledByVariablesAndTheseByFlags) {
  SettingsSources sources = sources_of({{"ITEMCROP_PORT", "2"}, {"ITEMCROP_MAX_ITEMS", "7"}});
  sources.file = write("port = 1\nmax_items = 5\nmax_images = 3\nmodel = ['a', 'b=c']\n");
  sources.flags = {{&named("port"), "3"}};
  const Settings settings = load_settings(sources);
  EXPECT_EQ(settings.port, 3);
  EXPECT_EQ(settings.max_items, 7);
  EXPECT_EQ(settings.max_images, 3);
  EXPECT_EQ(settings.models, (std::vector<std::string>{"a", "b=c"}));
}

TEST_F(SettingsFile, ErrorsNameTheLineTheKeyAndTheLimit) {
  EXPECT_EQ(problem_of_file("\nprot = 1\n"),
            "conf.toml:2 prot is not a setting ('serve --print-config' lists them)");
  EXPECT_EQ(problem_of_file("port = 70000\n"), "conf.toml:1 port must be 0 to 65535, is 70000");
  EXPECT_EQ(problem_of_file("port = 'x'\n"), "conf.toml:1 port must be a whole number");
  EXPECT_EQ(problem_of_file("ui = 1\n"), "conf.toml:1 ui must be true or false");
  EXPECT_EQ(problem_of_file("store = 'ftp'\n"),
            "conf.toml:1 store must be one of local, s3, none; is 'ftp'");
  EXPECT_EQ(problem_of_file("model = 'a'\n"), "conf.toml:1 model must be a list of texts");
  EXPECT_NE(problem_of_file("port =\n").find("conf.toml:1 "), std::string::npos);
  EXPECT_NE(problem_of_file("fetch_seconds = nan\n").find("must be 0.1 to 3600"),
            std::string::npos);
  SettingsSources missing;
  missing.file = "/no/such/file.toml";
  EXPECT_NE(problem_of(missing).find("does not exist"), std::string::npos);
}

TEST(Texts, ErrorsNameTheirOrigin) {
  EXPECT_EQ(problem_of(sources_of({{"ITEMCROP_PORT", "80a"}})),
            "ITEMCROP_PORT must be a whole number, is '80a'");
  EXPECT_EQ(problem_of(sources_of({{"ITEMCROP_UI", "maybe"}})),
            "ITEMCROP_UI must be true or false, is 'maybe'");
  SettingsSources flags;
  flags.flags = {{&named("drain_seconds"), "-1"}};
  EXPECT_EQ(problem_of(flags), "--drain-seconds must be 0 to 3600, is -1");
}

TEST(Combinations, ThatMakeNoSenseAreRefused) {
  EXPECT_NE(problem_of(sources_of({{"ITEMCROP_STORE", "s3"}})).find("s3_endpoint"),
            std::string::npos);
  EXPECT_NE(problem_of(sources_of({{"ITEMCROP_TLS_KEY", "k.pem"}})).find("tls_certificate"),
            std::string::npos);
  EXPECT_NE(problem_of(sources_of({{"ITEMCROP_API_KEYS", "short"}})).find("api_keys"),
            std::string::npos);
}

TEST(Keys, AreCheckedAtTheStart) {
  const auto says = [](const std::string& name, const std::string& value, const std::string& part) {
    const std::string problem = problem_of(sources_of({{name, value}}));
    EXPECT_NE(problem.find(part), std::string::npos) << problem;
    if (value.empty()) return;
    EXPECT_EQ(problem.find(value), std::string::npos) << "shows the key";
  };
  says("ITEMCROP_API_KEYS", "", "ITEMCROP_API_KEYS is set and names no key");
  says("ITEMCROP_API_KEYS", " , ", "ITEMCROP_API_KEYS is set and names no key");
  says("ITEMCROP_API_KEYS", "long-enough-1,short", "api_keys[1] must have at least 8 characters");
  says("ITEMCROP_API_KEYS", "two words in it", "api_keys[0] must be visible ASCII");
  says("ITEMCROP_VLM_KEY", "sk-secret\n", "vlm_key must be visible ASCII");
  says("ITEMCROP_S3_SECRET_KEY", "a secret", "s3_secret_key must be visible ASCII");
}

TEST(Secrets, AreNeverPrinted) {
  const Settings settings = load_settings(sources_of({{"ITEMCROP_API_KEYS", "alpha-secret"},
                                                      {"ITEMCROP_S3_SECRET_KEY", "beta-secret"},
                                                      {"OPENAI_API_KEY", "gamma-secret"}}));
  EXPECT_EQ(settings.vlm_key, "gamma-secret");
  const std::string printed = print_settings(settings);
  EXPECT_EQ(printed.find("secret\""), std::string::npos);
  EXPECT_NE(printed.find("# api_keys is set, and not shown"), std::string::npos);
}

}  // namespace
}  // namespace itemcrop::service
