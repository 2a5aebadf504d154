#include "image/annotate.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "itemcrop/error.h"

#include "image/draw.h"
#include "image/label.h"
#include "image/packed_image.h"
#include "image/resize.h"

namespace itemcrop::image {
namespace {

/// Okabe and Ito's colours, told apart by colour-blind people too, without their black.
constexpr std::array<Colour, 7> kPalette = {{{230, 159, 0},
                                             {86, 180, 233},
                                             {0, 158, 115},
                                             {240, 228, 66},
                                             {0, 114, 178},
                                             {213, 94, 0},
                                             {204, 121, 167}}};
constexpr Colour kBlack = {0, 0, 0};
constexpr Colour kWhite = {255, 255, 255};

/// Black or white, whichever stands out (Rec. 709 luma).
Colour text_colour(Colour background) noexcept {
  const double luma = 0.2126 * background[0] + 0.7152 * background[1] + 0.0722 * background[2];
  return luma > 128 ? kBlack : kWhite;
}

struct Style {
  int line = 0;
  int text_height = 0;
};

/// Sizes that stay readable when the image is shown to fit a screen.
Style style_for(int width, int height, const AnnotateOptions& options) {
  const int longest = std::max(width, height);
  Style style{options.line_width, options.text_height};
  if (style.line == 0) style.line = std::max(2, longest / 400);
  if (style.text_height == 0) style.text_height = std::max(11, longest / 60);
  return style;
}

PixelRect scaled_rect(const Box& box, const ImageView& from, const Canvas& to) {
  const double across = static_cast<double>(to.width) / from.width;
  const double down = static_cast<double>(to.height) / from.height;
  const auto pixel = [](double value, int limit) {
    return static_cast<int>(std::clamp(std::isfinite(value) ? std::round(value) : 0.0, 0.0,
                                       static_cast<double>(limit)));
  };
  const int x0 = pixel(box.x0 * across, to.width);
  const int y0 = pixel(box.y0 * down, to.height);
  return {x0, y0, pixel(box.x1 * across, to.width) - x0, pixel(box.y1 * down, to.height) - y0};
}

/// A thin dark edge on both sides keeps a box visible on a background of its own colour.
void draw_box(const Canvas& canvas, const PixelRect& rect, int line, Colour colour) {
  outline_rect(canvas, {rect.x - 1, rect.y - 1, rect.width + 2, rect.height + 2}, line + 2, kBlack);
  outline_rect(canvas, rect, line, colour);
}

/// Above the box if there is room, else inside its top edge; always within the image.
void draw_caption(const Canvas& canvas, const PixelRect& rect, const std::string& text,
                  const Style& style, Colour colour) {
  const int padding = std::max(2, style.text_height / 5);
  const int room = canvas.width - 2 * padding;
  if (room < 1) return;
  const std::optional<Label> label = draw_label(text, style.text_height, room);
  if (!label) return;
  const int width = label->width + 2 * padding;
  const int height = label->height + 2 * padding;
  const int x = std::clamp(rect.x, 0, canvas.width - width);
  const int y = rect.y >= height ? rect.y - height : rect.y;
  fill_rect(canvas, {x, y, width, height}, colour);
  blend_mask(canvas, x + padding, y + padding, {label->coverage, label->width, label->height},
             text_colour(colour));
}

}  // namespace

Colour palette_colour(int index) noexcept {
  return kPalette[static_cast<unsigned>(index) % kPalette.size()];
}

Image annotate(const ImageView& view, std::span<const Annotation> annotations,
               const AnnotateOptions& options) {
  require_pixels(view);
  if (options.max_side < 0 || options.line_width < 0 || options.text_height < 0) {
    throw Error(ErrorCode::kInvalidArgument,
                "max_side, line_width and text_height must not be negative");
  }
  const int longest = std::max(view.width, view.height);
  Image image = shrink_to_fit(view, options.max_side == 0 ? longest : options.max_side);
  const Canvas canvas{image.pixels(), image.width(), image.height()};
  const Style style = style_for(canvas.width, canvas.height, options);
  // Boxes first: a caption may lie over a neighbour's box, never under it.
  for (const Annotation& annotation : annotations) {
    draw_box(canvas, scaled_rect(annotation.box, view, canvas), style.line,
             palette_colour(annotation.colour));
  }
  for (const Annotation& annotation : annotations) {
    draw_caption(canvas, scaled_rect(annotation.box, view, canvas), annotation.label, style,
                 palette_colour(annotation.colour));
  }
  return image;
}

}  // namespace itemcrop::image
