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
  return {{hostile, "cpu", "fp32"}, {photo, failed}};
}

TEST(ContactSheet, EscapesEverythingFromOutside) {
  const std::string html = contact_sheet(hostile_result());
  EXPECT_EQ(html.find("<script"), std::string::npos);
  EXPECT_EQ(html.find("onerror='"), std::string::npos);
  EXPECT_NE(html.find("&lt;script&gt;"), std::string::npos);
}

TEST(ContactSheet, ShowsCropsFailuresAndTotals) {
  const std::string html = contact_sheet(hostile_result());
  for (const char* part :
       {"<h1>1 item in 2 photos</h1>", "src=\"crops/a_01_x.jpg\"", "src=\"annotated/a.jpg\"",
        "Not found:", "1 photo failed", "Failed: ", "lang=\"en\"", "30 × 40 pixels"}) {
    EXPECT_NE(html.find(part), std::string::npos) << part;
  }
}

TEST(ContactSheet, AsksForNothingFromElsewhere) {
  const std::string html = contact_sheet(hostile_result());
  EXPECT_EQ(html.find("http://"), std::string::npos);
  EXPECT_EQ(html.find("https://"), std::string::npos);
  EXPECT_EQ(html.find("url("), std::string::npos);
}

}  // namespace
}  // namespace itemcrop::cli
