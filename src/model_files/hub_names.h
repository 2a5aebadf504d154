#pragma once

#include <string_view>

namespace itemcrop::model_files {

/// "OWNER/NAME" or "NAME", as the Hugging Face hub allows them. Throws Error(kInvalidArgument).
void check_model_name(std::string_view name);

/// A branch, tag or commit; may hold '/'. Throws Error(kInvalidArgument).
void check_revision(std::string_view revision);

}  // namespace itemcrop::model_files
