#include "cli/contact_sheet.h"

#include <array>
#include <cstddef>
#include <cstdint>

#include "cli/words.h"

namespace itemcrop::cli {
namespace {

constexpr std::string_view kHead = R"(<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="script-src 'none'; connect-src 'none'">
<title>itemcrop contact sheet</title>
<style>
:root { color-scheme: light dark; --page: #f6f6f4; --card: #fff; --ink: #1d1d1f; --soft: #63636a;
  --line: #dddddb; --accent: #0b57d0; --bad: #b3261e; }
@media (prefers-color-scheme: dark) {
  :root { --page: #161618; --card: #212124; --ink: #ececf0; --soft: #a3a3ad; --line: #38383d;
    --accent: #8ab4f8; --bad: #f2b8b5; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem; max-width: 90rem; background: var(--page);
  color: var(--ink); font: 1rem/1.5 system-ui, sans-serif; }
h1 { margin: 0; font-size: 1.5rem; }
h2 { margin: 0; font-size: 1.05rem; overflow-wrap: anywhere; }
p { margin: .25rem 0; }
a { color: var(--accent); }
.soft { color: var(--soft); font-size: .9rem; }
.bad { color: var(--bad); }
.photo { margin-top: 1.25rem; padding: 1rem; border: 1px solid var(--line); border-radius: .75rem;
  background: var(--card); }
.columns { display: grid; gap: 1rem; margin-top: .75rem;
  grid-template-columns: minmax(14rem, 24rem) 1fr; }
@media (max-width: 45rem) { .columns { grid-template-columns: 1fr; } }
.whole img { display: block; width: 100%; height: auto; border-radius: .4rem; }
.crops { display: grid; gap: .75rem; margin: 0; padding: 0; list-style: none;
  grid-template-columns: repeat(auto-fill, minmax(9rem, 1fr)); align-content: start; }
figure { margin: 0; }
.crops img { display: block; width: 100%; height: 11rem; object-fit: contain;
  background: var(--page); border: 1px solid var(--line); border-radius: .4rem; }
figcaption { margin-top: .3rem; font-size: .9rem; overflow-wrap: anywhere; }
meter { width: 4rem; vertical-align: middle; }
</style>
</head>
<body>
)";

/// Bytes of the UTF-8 character at `at`; 0 if it is not valid there.
std::size_t utf8_length(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) -> std::uint32_t {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U;
  };
  const std::uint32_t first = byte(at);
  if (first < 0x80) return 1;
  const std::size_t length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  if (first < 0xC2 || first > 0xF4) return 0;
  std::uint32_t code = first & (0xFFU >> (length + 1));
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(at + i) & 0xC0U) != 0x80U) return 0;
    code = code << 6U | (byte(at + i) & 0x3FU);
  }
  static constexpr std::array<std::uint32_t, 5> kSmallest = {0, 0, 0x80, 0x800, 0x10000};
  const bool surrogate = code >= 0xD800 && code <= 0xDFFF;
  return code < kSmallest[length] || code > 0x10FFFF || surrogate ? 0 : length;
}

std::string counted(std::size_t count, const std::string& noun) {
  return std::to_string(count) + " " + noun + (count == 1 ? "" : "s");
}

/// Names may run right to left: <bdi> keeps them from reordering what stands around them.
std::string isolated(std::string_view text) { return "<bdi>" + escape_html(text) + "</bdi>"; }

std::string crop_html(const crop::FoundItem& item, const std::string& path) {
  const std::string score = fixed(item.detection.score, 2);
  std::string html = "<li><figure><a href=\"" + escape_html(path) + "\"><img src=\"" +
                     escape_html(path) + "\" loading=\"lazy\" alt=\"" + escape_html(item.prompt) +
                     ", score " + score + "\"></a>";
  html += "<figcaption>" + isolated(item.prompt) + " <meter min=\"0\" max=\"1\" value=\"" + score +
          "\" aria-label=\"score\">" + score + "</meter> " + score + "</figcaption>";
  return html + "</figure></li>\n";
}

std::string photo_html(const crop::ImageResult& photo) {
  std::string html = "<section class=\"photo\">\n<h2>" + isolated(photo.id) + "</h2>\n";
  if (photo.width > 0) {
    html += "<p class=\"soft\">" + std::to_string(photo.width) + " × " +
            std::to_string(photo.height) + " pixels</p>\n";
  }
  if (photo.error) {
    return html + "<p class=\"bad\">Failed: " + escape_html(photo.error->what()) +
           "</p>\n</section>\n";
  }
  html += "<div class=\"columns\">\n";
  if (!photo.annotated.empty()) {
    const std::string path = escape_html(photo.annotated);
    html += "<div class=\"whole\"><a href=\"" + path + "\"><img src=\"" + path +
            "\" loading=\"lazy\" alt=\"The photo with a box around each found item\"></a></div>\n";
  }
  html += "<div>\n";
  std::string crops;
  for (const crop::FoundItem& item : photo.items) {
    if (item.crop) crops += crop_html(item, item.crop->name);
  }
  if (!crops.empty()) html += "<ul class=\"crops\">\n" + crops + "</ul>\n";
  if (!photo.not_found.empty()) {
    html += "<p class=\"soft\">Not found: ";
    for (std::size_t i = 0; i < photo.not_found.size(); ++i) {
      html += (i > 0 ? ", " : "") + isolated(photo.not_found[i]);
    }
    html += "</p>\n";
  }
  return html + "</div>\n</div>\n</section>\n";
}

}  // namespace

std::string escape_html(std::string_view text) {
  static constexpr std::string_view kReplacement = "\xEF\xBF\xBD";
  std::string html;
  for (std::size_t i = 0; i < text.size();) {
    const char c = text[i];
    const std::size_t length = utf8_length(text, i);
    const bool control = static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
    if (length == 0 || control) {
      html += kReplacement;
    } else if (c == '&') {
      html += "&amp;";
    } else if (c == '<') {
      html += "&lt;";
    } else if (c == '>') {
      html += "&gt;";
    } else if (c == '"') {
      html += "&quot;";
    } else if (c == '\'') {
      html += "&#39;";
    } else {
      html += text.substr(i, length);
    }
    i += length == 0 ? 1 : length;
  }
  return html;
}

std::string contact_sheet(const RunResult& result) {
  std::size_t failed = 0;
  for (const crop::ImageResult& photo : result.images) {
    failed += photo.error ? 1 : 0;
  }
  std::string html(kHead);
  html += "<header>\n<h1>" + counted(count_crops(result), "item") + " in " +
          counted(result.images.size(), "photo") + "</h1>\n<p class=\"soft\">Model " +
          isolated(result.placement.model) + ", " + escape_html(result.placement.device) + ", " +
          escape_html(result.placement.precision) +
          ". Everything with all scores: <a href=\"results.json\">" + "results.json</a></p>\n";
  if (failed > 0) html += "<p class=\"bad\">" + counted(failed, "photo") + " failed.</p>\n";
  html += "</header>\n<main>\n";
  for (const crop::ImageResult& photo : result.images) html += photo_html(photo);
  return html + "</main>\n</body>\n</html>\n";
}

}  // namespace itemcrop::cli
