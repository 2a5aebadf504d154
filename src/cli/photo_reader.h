#pragma once

#include <iosfwd>

#include "cli/arguments.h"
#include "cli/decode_ahead.h"

namespace itemcrop::cli {

/// Reads files, standard input from `in`, and URLs, within the limits of the arguments.
PhotoReader make_photo_reader(std::istream& in, const PhotoArguments& arguments);

}  // namespace itemcrop::cli
