#pragma once

#include <string>
#include <string_view>

namespace itemcrop::taxonomy {

/// Without white space at both ends; runs of white space inside become one space.
std::string tidy(std::string_view text);

/// Lower case (ASCII) and tidy.
std::string normalized(std::string_view word);

}  // namespace itemcrop::taxonomy
