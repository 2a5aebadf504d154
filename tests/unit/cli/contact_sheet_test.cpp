#include "cli/contact_sheet.h"

#include <gtest/gtest.h>

namespace itemcrop::cli {
namespace {

TEST(EscapeHtml, LeavesNothingThatHtmlReads) {
  EXPECT_EQ(escape_html("<a href=\"x\">'&"), "&lt;a href=&quot;x&quot;&gt;&#39;&amp;");
  EXPECT_EQ(escape_html("caf\xc3\xa9 \xf0\x9f\x91\x97"), "caf\xc3\xa9 \xf0\x9f\x91\x97");
}

TEST(EscapeHtml, ReplacesWhatIsNotUtf8) {
  const std::string bad = "\xEF\xBF\xBD";
  EXPECT_EQ(escape_html("\xff"), bad);
  EXPECT_EQ(escape_html("a\xc3"), "a" + bad) << "cut short";
  EXPECT_EQ(escape_html("\xc0\xaf"), bad + bad) << "overlong";
  EXPECT_EQ(escape_html("\xe0\x80\xaf"), bad + bad + bad) << "overlong";
  EXPECT_EQ(escape_html("\xed\xa0\x80"), bad + bad + bad) << "surrogate";
  EXPECT_EQ(escape_html("\xf5\x80\x80\x80"), bad + bad + bad + bad) << "beyond Unicode";
  EXPECT_EQ(escape_html(std::string("\0\x1b\n", 3)), bad + bad + bad);
}

RunResult hostile_result() {
  const std::string hostile = "\"><script>alert(1)</script><img src=x onerror='alert(2)'>";
  crop::ImageResult photo;
  photo.id = hostile;
  photo.width = 30;
  photo.height = 40;
  crop::FoundItem item;
  item.prompt = hostile;
  item.detection.score = 0.5F;
  item.crop.emplace().name = "crops/a_01_x.jpg";
  photo.items = {item};
  photo.annotated = "annotated/a.jpg";
  photo.not_found = {hostile};
  crop::ImageResult failed;
  failed.id = "b.jpg";
  failed.error = Error(ErrorCode::kCorruptImage, hostile);
  RunResult result;
  result.head.placement = {hostile, "cpu", "fp32"};
  result.images = {photo, failed};
  return result;
}

TEST(ContactSheet, EscapesEverythingFromOutside) {
  const std::string html = contact_sheet(hostile_result());
  EXPECT_EQ(html.find("<script>alert"), std::string::npos);
  EXPECT_EQ(html.find("<script"), html.rfind("<script")) << "the page's own";
  EXPECT_EQ(html.find("onerror='"), std::string::npos);
  EXPECT_NE(html.find("&lt;script&gt;"), std::string::npos);
}

TEST(ContactSheet, ShowsThumbnailsAndTotals) {
  const std::string html = contact_sheet(hostile_result());
  for (const char* part :
       {"<h1>1 crop of 2 photos (1 failed)</h1>", "href=\"crops/a_01_x.jpg\"",
        "src=\"thumbnails/a_01_x.jpg\"", "href=\"annotated/a.jpg\"", "src=\"thumbnails/a.jpg\"",
        "not found:", "1 photo failed", "lang=\"en\"", "30 × 40 pixels"}) {
    EXPECT_NE(html.find(part), std::string::npos) << part;
  }
}

TEST(ContactSheet, LeadsWithFailuresThenPhotosWithoutItems) {
  RunResult result = hostile_result();
  result.images.emplace_back().id = "empty.jpg";
  const std::string html = contact_sheet(result);
  const std::size_t failed = html.find("1 photo failed");
  const std::size_t empty = html.find("1 photo without an item");
  const std::size_t full = html.find("1 photo with items");
  EXPECT_LT(failed, empty);
  EXPECT_LT(empty, full);
  EXPECT_LT(full, html.size());
}

TEST(ContactSheet, SaysWhatIsMissing) {
  RunResult result = hostile_result();
  result.photos = 5;
  result.skipped = 3;
  result.skipped_subfolders = 1;
  result.head.hints = {"a hint"};
  std::string html = contact_sheet(result);
  for (const char* part :
       {"interrupted after 2 of 5 photos",
        "3 photos in 1 subfolder were skipped; --recursive includes them", "a hint"}) {
    EXPECT_NE(html.find(part), std::string::npos) << part;
  }
  result.complete = true;
  EXPECT_EQ(contact_sheet(result).find("interrupted"), std::string::npos);
}

TEST(ContactSheet, HasAButtonForEachItemTheMostFrequentFirst) {
  RunResult result;
  crop::ImageResult photo;
  for (int i = 0; i < 100; ++i) {
    crop::FoundItem& item = photo.items.emplace_back();
    item.prompt = "item " + std::to_string(i);
    item.crop.emplace().name = "crops/a.jpg";
  }
  photo.items.push_back(photo.items.back());
  result.images = {photo};
  const std::string html = contact_sheet(result);
  std::size_t buttons = 0;
  for (std::size_t at = 0; (at = html.find("<button", at)) != std::string::npos; ++at) ++buttons;
  EXPECT_EQ(buttons, 60U) << "more are found by the search";
  EXPECT_LT(html.find("<bdi>item 99</bdi> 2</button>"), html.find("<bdi>item 0</bdi> 1</button>"));
}

TEST(ContactSheet, AsksForNothingFromElsewhere) {
  const std::string html = contact_sheet(hostile_result());
  EXPECT_EQ(html.find("http://"), std::string::npos);
  EXPECT_EQ(html.find("https://"), std::string::npos);
  EXPECT_EQ(html.find("url("), std::string::npos);
}

}  // namespace
}  // namespace itemcrop::cli
