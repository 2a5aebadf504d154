#include "cli/contact_sheet.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <unordered_map>
#include <utility>
#include <vector>

#include "itemcrop/version.h"

#include "cli/contact_sheet_parts.h"
#include "cli/crop_writer.h"
#include "cli/words.h"

namespace itemcrop::cli {
namespace {

/// Buttons that a page has room for; the search finds the rest.
constexpr std::size_t kMostItems = 60;

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

/// Names may run right to left: <bdi> keeps them from reordering what stands around them.
std::string isolated(std::string_view text) { return "<bdi>" + escape_html(text) + "</bdi>"; }

/// The words that a crop is found by: the caller's.
const std::string& item_of(const crop::FoundItem& found) {
  return found.category.empty() ? found.prompt : found.detection.item;
}

/// The items of a run, the most frequent first, each with its number of crops.
class ItemIndex {
 public:
  explicit ItemIndex(const RunResult& result) {
    std::map<std::string, std::size_t> counts;
    for (const crop::ImageResult& photo : result.images) {
      for (const crop::FoundItem& found : photo.items) counts[item_of(found)] += found.crop ? 1 : 0;
    }
    items_.assign(counts.begin(), counts.end());
    std::stable_sort(items_.begin(), items_.end(),
                     [](const auto& a, const auto& b) { return a.second > b.second; });
    for (std::size_t i = 0; i < items_.size(); ++i) numbers_[items_[i].first] = i;
  }

  std::size_t number(const crop::FoundItem& found) const { return numbers_.at(item_of(found)); }

  std::string buttons() const {
    std::string html;
    for (std::size_t i = 0; i < std::min(items_.size(), kMostItems); ++i) {
      html += "<button type=\"button\" data-item=\"" + std::to_string(i) +
              "\" aria-pressed=\"false\">" + isolated(items_[i].first) + " " +
              std::to_string(items_[i].second) + "</button>\n";
    }
    return html;
  }

 private:
  std::vector<std::pair<std::string, std::size_t>> items_;
  std::unordered_map<std::string, std::size_t> numbers_;
};

std::string link_html(const std::string& path, const std::string& alt) {
  return "<a href=\"" + escape_html(path) + "\"><img src=\"" + escape_html(thumbnail_of(path)) +
         "\" loading=\"lazy\" alt=\"" + alt + "\"></a>";
}

std::string crop_html(const crop::FoundItem& found, const ItemIndex& items) {
  const std::string& words = found.category.empty() ? found.prompt : found.description;
  const std::string score = fixed(found.detection.score, 2);
  return "<li data-item=\"" + std::to_string(items.number(found)) + "\">" +
         link_html(found.crop->name, escape_html(words) + ", score " + score) + "<span>" +
         isolated(words) + " " + score + "</span></li>\n";
}

std::string photo_html(const crop::ImageResult& photo, const ItemIndex& items) {
  std::string html = "<section class=\"photo\" tabindex=\"-1\"><h3>" + isolated(photo.id) +
                     "</h3><p class=\"soft\">" + std::to_string(photo.width) + " × " +
                     std::to_string(photo.height) + " pixels";
  if (!photo.not_found.empty()) {
    html += "; not found: ";
    for (std::size_t i = 0; i < photo.not_found.size(); ++i) {
      html += (i > 0 ? ", " : "") + isolated(photo.not_found[i]);
    }
  }
  html += "</p>\n<div class=\"row\">";
  if (!photo.annotated.empty()) {
    html += "<div class=\"whole\">" +
            link_html(photo.annotated, "The photo with a box around each found item") + "</div>\n";
  }
  html += "<ul class=\"crops\">\n";
  for (const crop::FoundItem& found : photo.items) {
    if (found.crop) html += crop_html(found, items);
  }
  return html + "</ul></div></section>\n";
}

/// Photos under a heading; nothing where there are none.
std::string group_html(const std::string& heading,
                       const std::vector<const crop::ImageResult*>& photos,
                       const ItemIndex& items) {
  if (photos.empty()) return {};
  std::string html = "<section class=\"group\"><h2>" + heading + "</h2>\n<div class=\"photos\">\n";
  for (const crop::ImageResult* photo : photos) html += photo_html(*photo, items);
  return html + "</div></section>\n";
}

std::string failures_html(const RunResult& result, std::size_t failed) {
  if (failed == 0) return {};
  std::string html = "<section class=\"group\"><h2 class=\"bad\">" + counted(failed, "photo") +
                     " failed</h2>\n<ul class=\"problems\">\n";
  for (const crop::ImageResult& photo : result.images) {
    if (!photo.error) continue;
    html += "<li>" + isolated(photo.id) + ": " + escape_html(photo.error->what()) + "</li>\n";
  }
  return html + "</ul></section>\n";
}

std::string header_html(const RunResult& result) {
  const crop::ResultsHead& head = result.head;
  std::string html = "<header>\n<h1>" + escape_html(totals_line(result)) + "</h1>\n";
  if (!result.complete) {
    html += "<p class=\"bad\">The run was interrupted after " +
            std::to_string(result.images.size()) + " of " + counted(result.photos, "photo") +
            ".</p>\n";
  }
  const std::string skipped = skipped_line(result);
  if (!skipped.empty()) html += "<p class=\"soft\">" + skipped + ".</p>\n";
  for (const std::string& hint : head.hints)
    html += "<p class=\"soft\">" + isolated(hint) + "</p>\n";
  return html + "<p class=\"soft\">Model " + isolated(head.placement.model) + ", " +
         escape_html(head.placement.device) + ", " + escape_html(head.placement.precision) +
         "; itemcrop " ITEMCROP_VERSION ", " + crop::rfc3339(head.date) +
         ". Everything with all scores: <a href=\"results.json\">results.json</a></p>\n</header>\n";
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
  const ItemIndex items(result);
  std::vector<const crop::ImageResult*> empty;
  std::vector<const crop::ImageResult*> full;
  for (const crop::ImageResult& photo : result.images) {
    if (!photo.error) (photo.items.empty() ? empty : full).push_back(&photo);
  }
  const std::size_t failed = result.images.size() - empty.size() - full.size();
  std::string html =
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"script-src '";
  html += std::string(sheet::kScriptHash) + "'; connect-src 'none'\">\n" +
          "<title>itemcrop contact sheet</title>\n<style>" + sheet::kStyle +
          "</style>\n</head>\n<body>\n" + header_html(result);
  html +=
      "<nav hidden><div>\n<input type=\"search\" placeholder=\"Photo or item\" "
      "aria-label=\"Search for a photo or an item\">\n" +
      items.buttons() +
      "</div>\n<p class=\"soft\"><span id=\"shown\" role=\"status\"></span> Keys: / search, j and "
      "k "
      "next and previous photo, f failures, Esc everything</p>\n</nav>\n<main>\n";
  html += failures_html(result, failed);
  html += group_html(counted(empty.size(), "photo") + " without an item", empty, items);
  html += group_html(counted(full.size(), "photo") + " with items", full, items);
  return html + "</main>\n<script>" + sheet::kScript + "</script>\n</body>\n</html>\n";
}

}  // namespace itemcrop::cli
