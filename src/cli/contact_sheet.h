#pragma once

#include <string>
#include <string_view>

#include "cli/results.h"

namespace itemcrop::cli {

/// A page that shows a run's failures, photos and crops, and filters them by item. It opens from
/// disk: style and script inside, no requests, paths relative to the output folder. Everything from
/// outside is escaped, and no script but the page's own runs.
std::string contact_sheet(const RunResult& result);

/// Text as HTML: & < > " ' escaped, control characters and invalid UTF-8 replaced by U+FFFD.
std::string escape_html(std::string_view text);

}  // namespace itemcrop::cli
