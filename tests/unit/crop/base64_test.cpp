#include "crop/base64.h"

#include <random>

#include <gtest/gtest.h>

namespace itemcrop::crop {
namespace {

std::string text_of(const std::optional<std::vector<std::byte>>& bytes) {
  if (!bytes) return "none";
  return {reinterpret_cast<const char*>(bytes->data()), bytes->size()};
}

// RFC 4648, section 10.
TEST(Base64, KnowsThePublishedVectors) {
  const std::pair<std::string, std::string> vectors[] = {{"", ""},
                                                         {"f", "Zg=="},
                                                         {"fo", "Zm8="},
                                                         {"foo", "Zm9v"},
                                                         {"foob", "Zm9vYg=="},
                                                         {"fooba", "Zm9vYmE="},
                                                         {"foobar", "Zm9vYmFy"}};
  for (const auto& [plain, coded] : vectors) {
    EXPECT_EQ(base64(std::as_bytes(std::span(plain))), coded);
    EXPECT_EQ(text_of(decode_base64(coded)), plain);
  }
}

TEST(Base64, ToleratesWhatClientsSend) {
  EXPECT_EQ(text_of(decode_base64("data:image/png;base64,Zm9vYg==")), "foob");
  EXPECT_EQ(text_of(decode_base64("Zm9v\r\nYmFy\n")), "foobar");
  EXPECT_EQ(text_of(decode_base64("Zm9vYg")), "foob");
  EXPECT_EQ(text_of(decode_base64("-_-_")), text_of(decode_base64("+/+/")));
}

TEST(Base64, RefusesEverythingElse) {
  for (const char* bad : {"Z", "Zm9vY", "Zm9v!", "Zg==Zg==", "Zg===", "Z=", "data:image/png,abc",
                          "data:", "Zm9v\x01", "Zm8=="}) {
    EXPECT_FALSE(decode_base64(bad)) << bad;
  }
}

TEST(Base64, RoundTripsRandomBytes) {
  std::mt19937 random(7);
  for (std::size_t size = 0; size < 300; ++size) {
    std::vector<std::byte> bytes(size);
    for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
    const std::string coded = base64(bytes);
    EXPECT_EQ(decode_base64(coded), bytes);
    EXPECT_LE(bytes.size(), base64_decoded_bound(coded.size()));
  }
}

}  // namespace
}  // namespace itemcrop::crop
