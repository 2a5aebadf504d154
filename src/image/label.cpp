#include "image/label.h"

#include <algorithm>
#include <memory>

#include "image/vips_library.h"
#include "image/vips_object.h"

namespace itemcrop::image {
namespace {

constexpr int kMaxCharacters = 80;

using CString = std::unique_ptr<char, void (*)(void*)>;

/// Valid UTF-8 on one line, at most kMaxCharacters, with Pango's markup characters escaped.
std::string safe_markup(const std::string& text) {
  const CString valid(g_utf8_make_valid(text.data(), static_cast<gssize>(text.size())), g_free);
  std::string line;
  int characters = 0;
  for (const char* at = valid.get(); *at != '\0'; at = g_utf8_next_char(at)) {
    if (characters++ == kMaxCharacters) {
      line += "\u2026";
      break;
    }
    if (g_unichar_isprint(g_utf8_get_char(at))) {
      line.append(at, static_cast<std::size_t>(g_utf8_next_char(at) - at));
    } else {
      line += ' ';
    }
  }
  const CString escaped(g_markup_escape_text(line.data(), static_cast<gssize>(line.size())),
                        g_free);
  return escaped.get();
}

}  // namespace

std::optional<Label> draw_label(const std::string& text, int text_height, int max_width) {
  start_vips();
  const std::string markup = safe_markup(text);
  if (markup.find_first_not_of(' ') == std::string::npos) return std::nullopt;
  const std::string font = "sans bold " + std::to_string(text_height);
  const VipsImagePtr drawn = run_vips([&](VipsImage** out) {
    // At 72 dots an inch a point is a pixel.
    return vips_text(out, markup.c_str(), "font", font.c_str(), "dpi", 72, nullptr);
  });
  if (!drawn) return std::nullopt;
  Label label;
  label.width = std::min(vips_image_get_width(drawn.get()), max_width);
  label.height = vips_image_get_height(drawn.get());
  const VipsImagePtr cut = run_vips([&](VipsImage** out) {
    return vips_extract_area(drawn.get(), out, 0, 0, label.width, label.height, nullptr);
  });
  std::size_t size = 0;
  const std::unique_ptr<void, void (*)(void*)> pixels(
      cut ? vips_image_write_to_memory(cut.get(), &size) : nullptr, g_free);
  if (!pixels) {
    vips_error_clear();
    return std::nullopt;
  }
  const auto* const first = static_cast<const std::uint8_t*>(pixels.get());
  label.coverage.assign(first, first + size);
  return label;
}

}  // namespace itemcrop::image
