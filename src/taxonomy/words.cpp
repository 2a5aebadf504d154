#include "taxonomy/words.h"

#include "core/ascii.h"

namespace itemcrop::taxonomy {

std::string normalized(std::string_view word) { return lower(tidy(word)); }

}  // namespace itemcrop::taxonomy
