#include "text/normalizer.h"

#include <algorithm>
#include <cstddef>

namespace itemcrop::text {
namespace {

/// Drops what is not text, turns all white space into spaces and puts spaces around ideographs.
std::vector<CodePoint> clean(const std::vector<CodePoint>& text) {
  std::vector<CodePoint> result;
  result.reserve(text.size());
  for (CodePoint c : text) {
    if (is_removed(c.value)) {
      continue;
    }
    if (is_whitespace(c.value)) {
      c.value = U' ';
    }
    if (is_ideograph(c.value)) {
      const CodePoint space{U' ', c.begin, c.end};
      result.insert(result.end(), {space, c, space});
    } else {
      result.push_back(c);
    }
  }
  return result;
}

struct Decomposed {
  char32_t value;
  std::uint8_t combining_class;
  bool extends;  ///< not the first of the values that one code point became
};

/// Stable sort of every run of marks by combining class (canonical ordering).
void reorder_marks(std::vector<Decomposed>& text) {
  const auto is_starter = [](const Decomposed& c) { return c.combining_class == 0; };
  for (auto run = text.begin(); run != text.end();) {
    run = std::find_if_not(run, text.end(), is_starter);
    const auto end = std::find_if(run, text.end(), is_starter);
    std::stable_sort(run, end, [](const Decomposed& a, const Decomposed& b) {
      return a.combining_class < b.combining_class;
    });
    run = end;
  }
}

/// NFD. The reference hands out spans in order after reordering: a first value takes the next
/// original's span, an extending one repeats the span before it.
std::vector<CodePoint> decompose_all(const std::vector<CodePoint>& text) {
  std::vector<Decomposed> values;
  values.reserve(text.size());
  for (const CodePoint& c : text) {
    char32_t parts[4];
    const int count = decompose(c.value, parts);
    for (int i = 0; i < count; ++i) {
      values.push_back({parts[i], combining_class(parts[i]), i > 0});
    }
  }
  reorder_marks(values);
  std::vector<CodePoint> result;
  result.reserve(values.size());
  std::size_t next = 0;
  for (const Decomposed& value : values) {
    const CodePoint& source = value.extends ? result.back() : text[next++];
    result.push_back({value.value, source.begin, source.end});
  }
  return result;
}

}  // namespace

std::vector<CodePoint> normalize(std::vector<CodePoint> text, bool lower_case) {
  text = clean(text);
  if (!lower_case) {
    return text;
  }
  const auto is_ascii = [](const CodePoint& c) { return c.value < 0x80; };
  if (!std::all_of(text.begin(), text.end(), is_ascii)) {
    text = decompose_all(text);
    std::erase_if(text, [](const CodePoint& c) { return is_nonspacing_mark(c.value); });
  }
  for (CodePoint& c : text) {
    c.value = to_lowercase(c.value);
  }
  return text;
}

}  // namespace itemcrop::text
