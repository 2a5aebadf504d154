#pragma once

#include <vector>

#include "text/unicode.h"

namespace itemcrop::text {

/// What BERT reads instead of `text`: cleaned, ideographs set apart, and (with `lower_case`)
/// decomposed without accents and in lower case. Each result keeps the bytes it came from; spans
/// never go backwards.
/// Source: BertNormalizer of the `tokenizers` library (normalizers/bert.rs).
std::vector<CodePoint> normalize(std::vector<CodePoint> text, bool lower_case);

}  // namespace itemcrop::text
