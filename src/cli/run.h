#pragma once

#include <string>
#include <vector>

#include "cli/environment.h"

namespace itemcrop::cli {

/// The whole command line: parses, runs, prints errors. `arguments` without the program's name.
/// Returns an ExitCode.
int run(const std::vector<std::string>& arguments, const Environment& environment);

}  // namespace itemcrop::cli
