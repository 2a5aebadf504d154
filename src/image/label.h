#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace itemcrop::image {

/// One line of text as coverage, 0 to 255, rows packed.
struct Label {
  std::vector<std::uint8_t> coverage;
  int width = 0;
  int height = 0;
};

/// Draws text with Pango through libvips, in a font of `text_height` pixels, never wider than
/// `max_width`. The text is untrusted: markup is taken literally, broken UTF-8 replaced, control
/// characters become spaces, long text is cut with an ellipsis. Empty if there is nothing to draw
/// or this libvips cannot draw text.
std::optional<Label> draw_label(const std::string& text, int text_height, int max_width);

}  // namespace itemcrop::image
