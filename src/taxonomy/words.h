#pragma once

#include <string>
#include <string_view>

namespace itemcrop::taxonomy {

/// Lower case (ASCII) and tidy.
std::string normalized(std::string_view word);

}  // namespace itemcrop::taxonomy
